"""The ways by which the logs of a worker's attempts go to where they are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from clockmill.clock import backoff
from clockmill.logs.spool import Parcel
from clockmill.logs.store import LogStore
from clockmill.protocols.logs import LogPiece
from clockmill.protocols.workers import WorkerGateway


@dataclass(frozen=True, slots=True)
class Load:
    """What of a parcel is to be sent now.

    :param offset: of the first byte.
    :param is_last: all the rest; a carrier that ``takes_files`` takes it from the file.
    """

    parcel: Parcel
    offset: int
    data: bytes
    is_last: bool


class Carrier(Protocol):
    """Sends loads; raises :class:`~clockmill.errors.ClockmillError` or OSError when it cannot.

    :ivar takes_files: whether it takes the whole file of an attempt that is over, instead of its end.
    :ivar most_loads: how many it takes at once.
    :ivar most_bytes: how many bytes of one parcel it takes at once.
    """

    takes_files: bool
    most_loads: int
    most_bytes: int

    def pause(self, pieces: int) -> float:
        """Seconds until the next look at a parcel that was sent in so many pieces so far."""
        ...

    def send(self, loads: Sequence[Load]) -> list[int | None]:
        """How many bytes of each are kept now; None when nobody will ever want it."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class ApiCarrier:
    """To the web server, or to the folder of this home where the worker asks the database itself.

    :param connect: opens a way to it of the carrier's own, so that beats never wait for logs; called again after an
        error when it failed.
    """

    takes_files = False
    most_loads = 64
    most_bytes = 256 * 1024

    def __init__(self, connect: Callable[[], WorkerGateway]) -> None:
        self._connect = connect
        self._gateway: WorkerGateway | None = None

    def pause(self, pieces: int) -> float:
        """A second: what a task writes is seen soon."""
        return 1.0

    def send(self, loads: Sequence[Load]) -> list[int | None]:
        """Send them in one call."""
        if self._gateway is None:
            self._gateway = self._connect()
        pieces = [
            LogPiece(
                attempt_id=load.parcel.attempt_id,
                token=load.parcel.token,
                offset=load.offset,
                data=load.data,
                is_last=load.is_last,
            )
            for load in loads
        ]
        return self._gateway.append_logs(pieces)

    def close(self) -> None:
        """Let go of the gateway."""
        if self._gateway is not None:
            self._gateway.close()


class StoreCarrier:
    """To a store, in objects: one for each piece, less and less often, and one with all of it at the end."""

    takes_files = True
    most_loads = 1
    most_bytes = 8 << 20

    def __init__(self, store: LogStore) -> None:
        self._store = store

    def pause(self, pieces: int) -> float:
        """2 seconds, 4, 8, 16, then 30: what most tasks write is one object at their end."""
        return backoff(pieces, 2.0, 30.0)

    def send(self, loads: Sequence[Load]) -> list[int | None]:
        """Put each where it belongs."""
        return [self._put(load) for load in loads]

    def close(self) -> None:
        """Nothing: the library keeps its connections."""

    def _put(self, load: Load) -> int:
        parcel = load.parcel
        if not load.is_last:
            self._store.add(parcel.key, parcel.attempt_id, load.offset, load.data)
            return load.offset + len(load.data)
        parcel.file.touch()  # an attempt that wrote nothing has an empty log
        self._store.finish(parcel.key, parcel.attempt_id, parcel.file, tidy=parcel.pieces > 0)
        return parcel.file.stat().st_size
