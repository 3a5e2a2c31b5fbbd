"""The worker gateway on the database itself, for workers that may hold its credentials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from clockmill.clock import Clock, parse_iso
from clockmill.errors import DatabaseError, GatewayUnavailable, NotFound, UsageError, WorkerGone
from clockmill.protocols.logs import LogOwner, LogPiece
from clockmill.protocols.workers import Exchange, ExchangeAnswer, WorkerInfo
from clockmill.state import Outcome
from clockmill.storage import bundles, claims, worker_reports, workers
from clockmill.storage.engine import Database
from clockmill.storage.log_owners import owners_of
from clockmill.storage.wakeup import announce_mail, deliver_mail, wake

T = TypeVar("T")


class DatabaseWorkerGateway:
    """A :class:`~clockmill.protocols.workers.WorkerGateway` that asks the database.

    :param run_folder: of the home of the schedulers that are to be called, where the database is an SQLite file.
    :param keep_log: keeps what is sent of logs, and returns how many bytes of that one are kept; None when nobody is
        to send any.
    """

    def __init__(
        self,
        database: Database,
        run_folder: Path,
        clock: Clock,
        keep_log: Callable[[LogOwner, LogPiece], int] | None = None,
    ) -> None:
        self._database = database
        self._run_folder = run_folder
        self._clock = clock
        self._keep_log = keep_log

    def register(self, worker: WorkerInfo, *, follows: str | None = None, held: list[list[str]] | None = None) -> None:
        """Introduce a worker; what the one that it follows had and it did not find is lost."""

        def work(connection: Connection) -> None:
            workers.register_worker(connection, worker, self._clock.now())
            if follows is not None:
                found = [(ident, token) for ident, token in held or ()]
                workers.take_over(connection, follows, worker.id, found, "Its worker died.")

        self._write(work)
        self._wake()

    def exchange(self, worker_id: str, said: Exchange) -> ExchangeAnswer:
        """Take in what a worker says, give it what it claims, tell it what to do.

        :raises WorkerGone: when the worker was given up.
        """
        answer = self._write(lambda connection: self._exchange(connection, worker_id, said))
        if said.started or said.reports:
            deliver_mail(self._database, self._run_folder)
        return answer

    def leave(self, worker_id: str) -> None:
        """Say goodbye; what it still had counts as lost."""
        self._write(lambda connection: workers.give_up(connection, worker_id, "Its worker left."))
        self._wake()

    def get_manifest(self, bundle: str) -> dict[str, list[Any]]:
        """The files of a bundle.

        :raises NotFound: when there is no such bundle.
        """
        manifest = self._read(lambda connection: bundles.load_manifest(connection, bundle))
        if manifest is None:
            raise NotFound("bundle", bundle)
        return manifest

    def get_files(self, hashes: list[str]) -> dict[str, bytes]:
        """Contents of files by their SHA-256."""
        return self._read(lambda connection: bundles.read_contents(connection, hashes))

    def append_logs(self, pieces: list[LogPiece]) -> list[int | None]:
        """Keep what attempts wrote.

        :raises UsageError: when logs are not sent this way.
        """
        if self._keep_log is None:
            raise UsageError("Logs are not sent this way: [logs] remote says where they go.")
        owners = self._read(lambda connection: owners_of(connection, [each.attempt_id for each in pieces]))
        found = [(owners.get((each.attempt_id, each.token)), each) for each in pieces]
        try:
            return [None if owner is None else self._keep_log(owner, each) for owner, each in found]
        except OSError as error:
            raise GatewayUnavailable(f"Logs cannot be written: {error}") from error

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _exchange(self, connection: Connection, worker_id: str, said: Exchange) -> ExchangeAnswer:
        now = self._clock.now()
        known = workers.beat_worker(
            connection, worker_id, beat=said.beat, busy=len(said.held), is_draining=said.is_draining, now=now
        )
        if known is None:
            raise WorkerGone(f"The worker {worker_id} was given up.")
        worker_reports.store_reports(connection, worker_reports.STARTED, [_started(*each) for each in said.started])
        ended = [(report["attempt_id"], report["token"], report) for report in said.reports]
        worker_reports.store_reports(connection, worker_reports.FINISHED, ended)
        if said.started or said.reports:
            announce_mail(connection)
        won, later = claims.claim_offers(connection, known, [(ident, token) for ident, token in said.claims], now)
        if said.want > 0:
            claims.claim_any(connection, known, said.want - len(won), now)
        told = {ident for ident, _, _ in ended} | {ident for ident, _, _ in said.started}
        return replace(self._answer(connection, worker_id, set(said.held), sorted(told)), later=later)

    @staticmethod
    def _answer(connection: Connection, worker_id: str, held: set[str], taken: list[str]) -> ExchangeAnswer:
        fresh: list[str] = []
        stop = set(held)  # what it has and is not its own, because it is over or somebody else's
        for ident, token, is_unwanted in workers.held_by(connection, worker_id):
            if ident in held:
                stop -= set() if is_unwanted else {ident}
            elif is_unwanted:
                worker_reports.report_end(connection, ident, token, Outcome.STOPPED, "stopped before it began")
            else:
                fresh.append(ident)
        return ExchangeAnswer(workloads=workers.workloads_of(connection, fresh), taken=taken, stop=sorted(stop))

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            return self._database.read(work)
        except DatabaseError as error:
            raise GatewayUnavailable(str(error)) from error

    def _write(self, work: Callable[[Connection], T]) -> T:
        try:
            return self._database.write(work)
        except DatabaseError as error:
            raise GatewayUnavailable(str(error)) from error

    def _wake(self) -> None:
        wake(self._database, self._run_folder)


def _started(attempt_id: str, token: str, moment: str) -> tuple[str, str, dict[str, Any]]:
    parse_iso(moment)  # one that no scheduler can read would spoil each of its passes while the attempt lives
    return attempt_id, token, {"attempt_id": attempt_id, "token": token, "started_at": moment}
