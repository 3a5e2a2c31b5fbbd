"""The public test kit: run a DAG in the process of a test, and a clock that a test drives."""

from clockmill.runtime.inprocess import run_dag
from clockmill.runtime.tested import TestedRun, TestedTask
from clockmill.testing.clock import FakeClock

__all__ = ["FakeClock", "TestedRun", "TestedTask", "run_dag"]
