"""What workers say of themselves and of their attempts, and what they are told.

One exchange is a beat, and carries claims, starts and reports with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from clockmill.protocols import Record
from clockmill.protocols.logs import LogPiece


@dataclass(frozen=True, kw_only=True)
class WorkerInfo(Record):
    """A worker as it introduces itself.

    :param id: new with each start of the program, so that what it never heard of it cannot have begun.
    :param executor: the name of the executor whose offers it takes.
    :param slots: how many attempts it runs at once.
    :param queues: the queues that it serves.
    :param resources: what it offers besides slots: name -> amount.
    :param lease_seconds: after so long a silence its tasks have ended, in seconds; None leaves that to the scheduler.
    :param gateway: how it asks for work, for people: ``database`` or ``http``.
    """

    id: str
    executor: str
    host: str
    boot_id: str
    pid: int
    slots: int
    queues: list[str]
    version: str
    resources: dict[str, float] = field(default_factory=dict)
    gateway: str = "database"
    lease_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Exchange(Record):
    """What a worker says in one call. Saying it again does nothing twice.

    :param beat: counts up with each call.
    :param held: the attempts that it has: running, waiting to run, or over and not yet taken.
    :param claims: ``[attempt id, token]`` of offers that it has a free slot for.
    :param want: how many offers more it takes, whichever they are.
    :param started: ``[attempt id, token, instant]`` of attempts whose user code has begun.
    :param reports: attempts that are over, each an :class:`~clockmill.protocols.AttemptReport` as JSON.
    """

    beat: int
    held: list[str] = field(default_factory=list)
    claims: list[list[str]] = field(default_factory=list)
    want: int = 0
    started: list[list[str]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    is_draining: bool = False


@dataclass(frozen=True, kw_only=True)
class ExchangeAnswer(Record):
    """What a worker is told.

    :param workloads: attempts that are its own now and that it does not have, each a
        :class:`~clockmill.protocols.Workload` as JSON.
    :param taken: of the attempts in ``started`` and ``reports``, those of which nobody needs to hear again.
    :param stop: of those that it has, the attempts that are to be stopped, and those that are no longer its own.
    :param later: of the attempts that it claimed, those that do not fit in now. They are still offered.
    """

    workloads: list[dict[str, Any]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)


class WorkerGateway(Protocol):
    """What a worker may ask: of the database itself, or by HTTP where it holds no credentials of it.

    Every method raises :class:`~clockmill.errors.GatewayUnavailable` when nobody can be asked now, and may then be
    called again with the same arguments.
    """

    def register(self, worker: WorkerInfo, *, follows: str | None = None, held: list[list[str]] | None = None) -> None:
        """Introduce a worker.

        :param follows: the worker of the same home that is surely gone, whose place it takes.
        :param held: ``[attempt id, token]`` of what it found still running; the rest of what that one had is lost.
        """
        ...

    def exchange(self, worker_id: str, said: Exchange) -> ExchangeAnswer:
        """Tell how things stand, and hear what to do.

        :raises WorkerGone: when the worker was given up: it stops everything and registers anew.
        """
        ...

    def leave(self, worker_id: str) -> None:
        """Say goodbye, with nothing held any more."""
        ...

    def get_manifest(self, bundle: str) -> dict[str, list[Any]]:
        """The files of a bundle: ``{path: [sha256, size, mode]}``.

        :raises NotFound: when there is no such bundle.
        """
        ...

    def get_files(self, hashes: list[str]) -> dict[str, bytes]:
        """Contents of files of bundles, by their SHA-256; as many of those asked for as go into one answer."""
        ...

    def append_logs(self, pieces: list[LogPiece]) -> list[int | None]:
        """Send what attempts wrote, a few MiB at most; also of attempts that are over.

        :returns: for each piece, how many bytes of its log are kept now, from the first one on; None when nobody will
            ever want it: there is no such attempt.
        """
        ...

    def close(self) -> None:
        """Let go of the database or the connection."""
        ...
