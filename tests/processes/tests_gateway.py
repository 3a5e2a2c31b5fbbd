"""A task gateway for tests: answers from a file, and can be told to be away, slow, or to know the attempt no more."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from clockmill.errors import GatewayUnavailable, TaskGone


class FileGateway:
    """Reads ``folder/KEY``; a file ``away`` there is used up by one refusal, ``gone`` and ``stuck`` stay."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_previous_run(self, attempt_id: str, token: str) -> dict[str, str | None]:
        return {"start_date": "2026-01-01T00:00:00+00:00"}

    def get_variable(self, attempt_id: str, token: str, key: str) -> str | None:
        assert len(attempt_id) == len(token) == 32
        if (self.folder / "away").exists():
            (self.folder / "away").unlink()
            raise GatewayUnavailable("The database is restarting.")
        if (self.folder / "gone").exists():
            raise TaskGone("A person cleared the task.")
        if (self.folder / "stuck").exists():
            time.sleep(1000)  # noqa: TID251 - stands for a database that does not answer
        path = self.folder / key
        return path.read_text() if path.exists() else None

    def get_xcoms(self, attempt_id: str, token: str, **what: Any) -> list[tuple[str, int, str]]:
        return [("up", -1, '"' + ",".join(sorted(what)) + '"')]

    def get_connection(self, attempt_id: str, token: str, conn_id: str) -> dict[str, Any] | None:
        raise ValueError(f"no key to decrypt {conn_id}")

    def close(self) -> None:
        pass


def open_gateway(spec: dict[str, Any]) -> FileGateway:
    """Named in the executor's settings."""
    return FileGateway(Path(spec["folder"]))
