"""The subprocess executor: as the local one, but each attempt gets an interpreter of its own, chosen by its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clockmill.executors.local import LocalExecutor
from clockmill.host import launching


class SubprocessExecutor(LocalExecutor):
    """Runs attempts on this host, each in a fresh Python, with what the ``executor_config`` of its task asks for."""

    starter = "fresh"
    switches_users = True

    @staticmethod
    def check_config(config: Mapping[str, Any]) -> None:
        """Refuse an ``executor_config`` that can never be started.

        :raises ValueError: with a sentence that says what is wrong.
        """
        launching.check(config)
