"""Sends what the tasks of a worker write to where it is kept, while they run, in a thread that nobody waits for.

What is sent begins at a byte of its log, so sending it again does no harm: after an outage, or after a crash of the
worker, it goes on where the other side says that it stands. At most so many parcels are held in memory; the rest waits
in the folder.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from clockmill.clock import Clock, backoff
from clockmill.errors import ClockmillError
from clockmill.logs.carriers import Carrier, Load
from clockmill.logs.spool import Parcel, Spool
from clockmill.protocols import Workload

log = logging.getLogger(__name__)

#: Parcels of attempts that are over, held in memory.
MOST_WAITING = 1_000
#: In one round.
_MOST_BYTES = 4 << 20
_ROUND_SECONDS = 1.0
#: Between two looks whether somebody wants a log again.
_UNWANTED_SECONDS = 600.0
_LONGEST_PAUSE = 30.0


class LogShipper:
    """The logs of one worker on their way. Every method but :meth:`leave` returns at once.

    :param spool: where attempts write.
    """

    def __init__(self, spool: Spool, carrier: Carrier, clock: Clock) -> None:
        self._spool = spool
        self._carrier = carrier
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, Parcel] = {}
        self._over: dict[str, Parcel] = {}
        self._has_more = False
        self._failures = 0
        self._pause_until = 0.0
        self._bell = threading.Event()
        self._leaving = threading.Event()
        self._abandoned = threading.Event()
        self._thread: threading.Thread | None = None

    # --- what the worker says ----------------------------------------------------------------------------------------

    def begin(self, workload: Workload) -> Path:
        """The file that an attempt is to write to."""
        with self._lock:  # or it could be found in the folder before it is known to be running
            parcel = self._spool.add(workload)
            parcel.due = self._clock.monotonic() + self._carrier.pause(0)
            self._running[workload.attempt_id] = parcel
        self._bell.set()
        return parcel.file

    def hold(self, attempt_ids: Iterable[str]) -> None:
        """Take on attempts that were found still running, or over and not yet heard of."""
        for attempt_id in attempt_ids:
            with self._lock:
                if attempt_id not in self._running and (parcel := self._spool.get(attempt_id)) is not None:
                    parcel.pieces = 1  # who was here before may have sent some
                    self._running[attempt_id] = parcel
        self._bell.set()

    def end(self, attempt_ids: Iterable[str]) -> None:
        """These attempts are over: nothing more will be written."""
        with self._lock:
            for attempt_id in attempt_ids:
                parcel = self._running.pop(attempt_id, None)
                if parcel is None:
                    continue
                if len(self._over) < MOST_WAITING:
                    parcel.is_over = True
                    parcel.due = min(parcel.due, self._clock.monotonic())
                    self._over[attempt_id] = parcel
                else:
                    self._has_more = True  # it is found in the folder again
        self._bell.set()

    def sweep(self) -> None:
        """What else lies in the spool is of attempts that are over: a worker before this one left it."""
        with self._lock:
            self._has_more = True
        self._bell.set()

    # --- the thread --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._work, name="logs", daemon=True)
        self._thread.start()

    def leave(self, seconds: float) -> int:
        """Send the rest, and stop after ``seconds`` at the latest.

        :returns: of how many attempts something is left; the next worker with this spool sends it.
        """
        self._leaving.set()
        self._bell.set()
        if self._thread is not None:
            self._thread.join(seconds)
        self._abandoned.set()
        left = len(self._spool)
        if left:
            log.warning(
                "the logs of %d attempts are not sent: they are in %s, and the next worker that begins here sends them",
                left,
                self._spool.folder,
            )
        return left

    def _work(self) -> None:
        while not self._abandoned.is_set():
            pause = self.turn()
            if not self._leaving.is_set():
                self._wait(pause)
            elif self._has_work(running=False):
                self._abandoned.wait(pause)
            else:
                break
        self._carrier.close()

    def _wait(self, pause: float) -> None:
        if self._has_work(running=True):
            self._leaving.wait(pause)  # not woken by what comes meanwhile: that is sent together
        else:
            self._bell.wait()
            self._bell.clear()

    def turn(self) -> float:
        """Send what is due, as much as goes at once; returns the seconds until there may be more."""
        now = self._clock.monotonic()
        if now < self._pause_until and not self._leaving.is_set():
            return self._pause_until - now
        with self._lock:
            self._refill()
            parcels = sorted([*self._running.values(), *self._over.values()], key=lambda parcel: parcel.due)
        loads = self._loads(parcels, now)
        if not loads:
            return _ROUND_SECONDS
        try:
            kept = self._carrier.send(loads)
        except (ClockmillError, OSError) as error:
            return self._failed(loads, error)
        self._sent(loads, kept)
        return 0.0 if len(loads) == self._carrier.most_loads or self._is_any_due() else _ROUND_SECONDS

    # --- one round ---------------------------------------------------------------------------------------------------

    def _refill(self) -> None:
        if not self._has_more or self._over:
            return
        found = self._spool.find(self._running.keys(), MOST_WAITING)
        self._has_more = len(found) == MOST_WAITING
        for parcel in found:
            parcel.is_over = True
            parcel.pieces = 1
            self._over[parcel.attempt_id] = parcel

    def _loads(self, parcels: list[Parcel], now: float) -> list[Load]:
        """What goes now: one alone after a failure, so that what cannot be sent holds up nothing else for long."""
        most = 1 if self._failures else self._carrier.most_loads
        loads: list[Load] = []
        for parcel in parcels:
            is_due = parcel.due <= now or self._leaving.is_set()
            if not is_due or len(loads) == most or sum(len(load.data) for load in loads) >= _MOST_BYTES:
                break
            load = self._load(parcel)
            if load is None:
                parcel.due = now + self._carrier.pause(parcel.pieces)
            else:
                loads.append(load)
        return loads

    def _load(self, parcel: Parcel) -> Load | None:
        is_over = parcel.is_over  # asked before the look, so that nothing is written after what is the last piece
        if is_over and self._carrier.takes_files:
            return Load(parcel, parcel.sent, b"", True)
        data, size = _read(parcel, self._carrier.most_bytes)
        if not data and not is_over:
            return None
        return Load(parcel, parcel.sent, data, is_over and parcel.sent + len(data) >= size)

    def _sent(self, loads: list[Load], kept: list[int | None]) -> None:
        if self._failures:
            log.warning("the logs of tasks can be sent again")
        self._failures = 0
        now = self._clock.monotonic()
        for load, size in zip(loads, kept, strict=True):
            parcel = load.parcel
            parcel.pieces += 1
            parcel.failures = 0
            if size is None:
                log.warning("nobody wants the log of the attempt %s (%s)", parcel.attempt_id, parcel.key)
            else:
                parcel.sent = size
            if parcel.is_over and (size is None or (load.is_last and size >= load.offset + len(load.data))):
                self._drop(parcel)
            else:
                parcel.due = now + self._pause_after(load, size)

    def _pause_after(self, load: Load, size: int | None) -> float:
        if size is None:
            return _UNWANTED_SECONDS
        is_full = load.parcel.is_over or len(load.data) == self._carrier.most_bytes
        return 0.0 if is_full else self._carrier.pause(load.parcel.pieces)

    def _drop(self, parcel: Parcel) -> None:
        with self._lock:
            self._over.pop(parcel.attempt_id, None)
        self._spool.drop(parcel)

    def _failed(self, loads: list[Load], error: Exception) -> float:
        if not self._failures:
            log.warning("the logs of tasks cannot be sent, trying again: %s", error)
        now = self._clock.monotonic()
        self._failures += 1
        pause = backoff(self._failures - 1, 1.0, _ROUND_SECONDS if self._leaving.is_set() else _LONGEST_PAUSE)
        self._pause_until = now + pause
        for load in loads:
            load.parcel.failures += 1
            load.parcel.due = now + backoff(load.parcel.failures, 1.0, 2 * _LONGEST_PAUSE)
        return pause

    def _is_any_due(self) -> bool:
        now = self._clock.monotonic()
        with self._lock:
            return self._has_more or any(parcel.due <= now for parcel in self._over.values())

    def _has_work(self, *, running: bool) -> bool:
        with self._lock:
            return bool(self._over or self._has_more or (running and self._running))


def _read(parcel: Parcel, most: int) -> tuple[bytes, int]:
    """What the attempt wrote behind what is sent, and how much it wrote in all."""
    try:
        with parcel.file.open("rb") as file:
            file.seek(parcel.sent)
            data = file.read(most)
            size = file.seek(0, 2)
    except FileNotFoundError:
        return b"", parcel.sent
    return data, size
