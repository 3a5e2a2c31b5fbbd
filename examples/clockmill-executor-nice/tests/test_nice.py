"""The executor does what every executor has to, and its tasks give way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from clockmill_executor_nice import NiceExecutor

from clockmill.errors import ConfigError
from clockmill.executors.setup import ExecutorSetup
from clockmill.testing.bench import ExecutorBench
from clockmill.testing.executors import ExecutorConformance


class TestNiceExecutor(ExecutorConformance):
    executor_class = NiceExecutor
    options = {"niceness": 7}

    def test_its_tasks_give_way(self, bench: ExecutorBench) -> None:
        supervisor = bench.start().up().supervisor
        own = os.getpriority(os.PRIO_PROCESS, 0)
        assert os.getpriority(os.PRIO_PROCESS, supervisor.pid) == min(own + 7, 19)

    @pytest.mark.parametrize("niceness", [0, 20])
    def test_a_niceness_that_there_is_not_is_refused(self, tmp_path: Path, niceness: int) -> None:
        setup = ExecutorSetup(
            name="nice", home=tmp_path, run_folder=tmp_path, slots=1, gateway="", gateway_spec={},
            options={"niceness": niceness},
        )  # fmt: skip
        with pytest.raises(ConfigError, match="must be from 1 to 19"):
            NiceExecutor(setup)
