"""A task gateway without a database: it knows which attempts are live, and one variable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clockmill.errors import TaskGone
from clockmill.protocols import StatesSeen

#: How an :class:`~clockmill.executors.setup.ExecutorSetup` names it.
FACTORY = f"{__name__}:open_gateway"


class FolderGateway:
    """Answers for the attempts that have a file of their name with their token in it.

    :param folder: of these files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_variable(self, attempt_id: str, token: str, key: str) -> str | None:
        """The text ``value of KEY``."""
        self._check(attempt_id, token)
        return f"value of {key}"

    def get_connection(self, attempt_id: str, token: str, conn_id: str) -> dict[str, Any] | None:
        """None: there is no connection."""
        self._check(attempt_id, token)
        return None

    def get_xcoms(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> list[tuple[str, int, str]]:
        """None at all."""
        self._check(attempt_id, token)
        return []

    def measure_xcoms(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> tuple[int, int | None]:
        """None at all."""
        self._check(attempt_id, token)
        return 0, None

    def get_previous_run(self, attempt_id: str, token: str) -> dict[str, str | None]:
        """No dates: there is no earlier run."""
        self._check(attempt_id, token)
        return {}

    def get_states(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> dict[str, Any]:
        """That there is no such DAG."""
        self._check(attempt_id, token)
        return StatesSeen(is_known=False).to_json()

    def close(self) -> None:
        """There is nothing to let go of."""

    def _check(self, attempt_id: str, token: str) -> None:
        path = self._folder / attempt_id
        if not path.exists() or path.read_text() != token:
            raise TaskGone(f"The attempt {attempt_id} is over or belongs to somebody else.")


def open_gateway(spec: dict[str, Any]) -> FolderGateway:
    """The gateway over ``spec["folder"]``."""
    return FolderGateway(Path(spec["folder"]))
