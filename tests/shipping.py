"""A worker on which tasks write, and the other side of what it sends; driven by the test instead of a thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clockmill.errors import GatewayUnavailable
from clockmill.logs.carriers import Carrier
from clockmill.logs.merged import Cursor
from clockmill.logs.receiver import LogReceiver
from clockmill.logs.shipping import LogShipper
from clockmill.logs.spool import Spool
from clockmill.logs.tasklogs import TaskLogs
from clockmill.protocols import Workload
from clockmill.protocols.logs import LogOwner, LogPiece
from clockmill.testing.clock import FakeClock

KEY = "d/r/t/-1/1"


def attempt(ident: str, key: str = KEY) -> Workload:
    """What a worker is offered, as far as its log goes."""
    return Workload(
        attempt_id=ident, token=f"token-{ident}", dag_id="d", run_id="r", task_id="t", bundle="b", bundle_path="",
        file="d.py", log_path=f"{key}.log",
    )  # fmt: skip


def text(reader: TaskLogs, key: str = KEY, *, growing: bool = False) -> bytes:
    """All that a reader sees of a log."""
    return reader.chunk(reader.folder / f"{key}.log", Cursor(), growing=growing, limit=1 << 30)[1].data


def kept(reader: TaskLogs, *attempts: str, key: str = KEY) -> bool:
    """Whether a reader sees all that these attempts wrote."""
    return not reader.find(reader.folder / f"{key}.log").missing(attempts)


class Receiver:
    """The other side of the API: keeps what is sent, unless it is told to fail.

    :ivar fails: ``unreachable``: nothing arrives; ``unheard``: it arrives, and the answer is lost.
    :ivar unwanted: attempts that it does not know.
    :ivar poison: attempts of which it takes nothing.
    """

    def __init__(self, logs: Path) -> None:
        self.keep = LogReceiver(logs)
        self.fails = ""
        self.unwanted: set[str] = set()
        self.poison: set[str] = set()
        self.calls: list[list[LogPiece]] = []

    def append_logs(self, pieces: list[LogPiece]) -> list[int | None]:
        self.calls.append(pieces)
        if self.fails == "unreachable" or any(piece.attempt_id in self.poison for piece in pieces):
            raise GatewayUnavailable("Nobody answers.")
        owner = LogOwner(dag_id="d", run_id="r", task_id="t")
        kept = [None if each.attempt_id in self.unwanted else self.keep(owner, each) for each in pieces]
        if self.fails == "unheard":
            raise GatewayUnavailable("The answer was lost.")
        return kept

    def close(self) -> None: ...


class Worker:
    """A machine on which tasks write; it may crash and begin again."""

    def __init__(self, folder: Path, carrier: Callable[[], Carrier]) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.files: dict[str, Path] = {}
        self._carrier = carrier
        self.begin_again()

    def begin_again(self, holding: tuple[str, ...] = ()) -> None:
        self.shipper = LogShipper(Spool(self.folder), self._carrier(), self.clock)
        self.shipper.hold(holding)
        self.shipper.sweep()

    def begin(self, ident: str, key: str = KEY) -> None:
        self.files[ident] = self.shipper.begin(attempt(ident, key))

    def write(self, ident: str, data: bytes) -> None:
        with self.files[ident].open("ab") as file:
            file.write(data)

    def end(self, *idents: str) -> None:
        self.shipper.end(idents)

    def pass_time(self, seconds: float) -> None:
        """Let the thread do what it would do meanwhile."""
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            self.clock.advance(self.shipper.turn() or 0.001)

    def run(self, ident: str, data: bytes) -> None:
        """One attempt from its beginning to its end."""
        self.begin(ident)
        self.write(ident, data)
        self.end(ident)
