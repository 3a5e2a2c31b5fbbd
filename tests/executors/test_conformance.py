"""Every executor of ours does what the protocol asks."""

from __future__ import annotations

from clockmill.executors.local import LocalExecutor
from clockmill.executors.subprocess import SubprocessExecutor
from clockmill.testing.executors import ExecutorConformance


class TestLocalExecutor(ExecutorConformance):
    executor_class = LocalExecutor


class TestSubprocessExecutor(ExecutorConformance):
    executor_class = SubprocessExecutor
