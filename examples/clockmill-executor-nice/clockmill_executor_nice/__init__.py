"""An executor whose tasks give way to everything else on the machine.

It runs them as the local executor does, below supervisors that ``nice`` starts. Install it, then name it::

    [core]
    executor = "local,nice"

    [executor.nice]
    niceness = 19
    slots = 4

Tasks that say ``executor="nice"`` go there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clockmill.errors import ConfigError
from clockmill.executors.local import LocalExecutor
from clockmill.executors.setup import ExecutorSetup


class NiceExecutor(LocalExecutor):
    """Runs attempts on this host with a lower priority.

    :param setup: the option ``niceness`` is a number from 1 to 19; the higher, the more the tasks give way.
    :raises ConfigError: when it is another one, or when another option is set.
    """

    def __init__(self, setup: ExecutorSetup) -> None:
        self._niceness = setup.read_options({"niceness": 10})["niceness"]
        if not 1 <= self._niceness <= 19:
            raise ConfigError(f"[executor.{setup.name}] niceness is {self._niceness}, but must be from 1 to 19.")
        super().__init__(replace(setup, options={}))

    def supervisor_command(self) -> list[str]:
        """The command of the local executor, started by ``nice``; all below inherits that."""
        return ["nice", "-n", str(self._niceness), *super().supervisor_command()]

    @staticmethod
    def check_config(config: Mapping[str, Any]) -> None:
        """Refuse what a task says: all tasks are equally nice.

        :raises ValueError: always; it is asked only when there is something.
        """
        raise ValueError(f"it takes none, but is given {', '.join(map(repr, config))}.")
