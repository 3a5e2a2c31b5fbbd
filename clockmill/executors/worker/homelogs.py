"""Where a worker's tasks write: a file of this machine, which may be sent on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from clockmill.protocols import Workload


class WorkerLogs(Protocol):
    """The logs of what one worker runs; :class:`~clockmill.logs.shipping.LogShipper` sends them on."""

    def begin(self, workload: Workload) -> Path:
        """The file that an attempt is to write to."""
        ...

    def hold(self, attempt_ids: Iterable[str]) -> None:
        """These attempts were found running, or over and not heard of, from a worker before this one."""
        ...

    def end(self, attempt_ids: Iterable[str]) -> None:
        """These attempts are over, or never begin: nothing more will be written. Unknown ones are passed over."""
        ...

    def sweep(self) -> None:
        """All that was found is held now; what else is there is of attempts that are over."""
        ...

    def start(self) -> None:
        """Begin to send."""
        ...

    def leave(self, seconds: float) -> int:
        """Send the rest, for so long at most; returns of how many attempts something is left."""
        ...


class HomeLogs:
    """Logs that stay where they are written.

    :param folder: of the logs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, workload: Workload) -> Path:
        """The file of the try."""
        return self._folder / workload.log_path

    def hold(self, attempt_ids: Iterable[str]) -> None:
        """Nothing."""

    def end(self, attempt_ids: Iterable[str]) -> None:
        """Nothing."""

    def sweep(self) -> None:
        """Nothing."""

    def start(self) -> None:
        """Nothing."""

    def leave(self, seconds: float) -> int:
        """Nothing is left."""
        return 0
