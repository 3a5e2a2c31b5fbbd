"""The public test kit: run a DAG in the process of a test, and a clock that a test drives.

:mod:`clockmill.testing.executors` and :mod:`clockmill.testing.brokered` are suites of tests that every executor passes.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clockmill.runtime.inprocess import run_dag
    from clockmill.runtime.tested import TestedRun, TestedTask
    from clockmill.testing.clock import FakeClock

__all__ = ["FakeClock", "TestedRun", "TestedTask", "run_dag"]

#: Each is imported when it is first used: the processes that a suite starts need none of them.
_HOMES = {
    "FakeClock": "clockmill.testing.clock",
    "TestedRun": "clockmill.runtime.tested",
    "TestedTask": "clockmill.runtime.tested",
    "run_dag": "clockmill.runtime.inprocess",
}

if "pytest" in sys.modules:  # its failures then say what was compared, also in the tests that others inherit
    suites = (f"clockmill.testing.{name}" for name in ("bench", "brokered", "executors"))
    sys.modules["pytest"].register_assert_rewrite(*suites)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
