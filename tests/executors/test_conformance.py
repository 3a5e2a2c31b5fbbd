"""Every executor does what the protocol asks: those of ours, and that of the example package."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from clockmill.executors.local import LocalExecutor
from clockmill.executors.subprocess import SubprocessExecutor
from clockmill.testing.executors import ExecutorConformance

pytestmark = pytest.mark.fault

EXAMPLE = Path(__file__).parents[2] / "examples" / "clockmill-executor-nice"


class TestLocalExecutor(ExecutorConformance):
    executor_class = LocalExecutor


class TestLocalExecutorWhoseProcessesStay(ExecutorConformance):
    def make_executor(self, setup):
        return LocalExecutor(replace(setup, max_tasks_per_process=100))


class TestSubprocessExecutor(ExecutorConformance):
    executor_class = SubprocessExecutor


class TestExecutorOfTheExample(ExecutorConformance):
    @pytest.fixture(autouse=True)
    def example(self, monkeypatch):
        monkeypatch.syspath_prepend(EXAMPLE)

    def make_executor(self, setup):
        return import_module("clockmill_executor_nice").NiceExecutor(setup)
