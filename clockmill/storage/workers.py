"""What workers do: they come, say what became of what they claimed, and go.

A worker writes its own row, the claim of an attempt (:mod:`clockmill.storage.claims`) and its reports; everything else
follows from the reports, which a scheduler applies.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, exists, insert, or_, select, update

from clockmill.errors import GatewayUnavailable
from clockmill.protocols.workers import WorkerInfo
from clockmill.state import AttemptState, Outcome
from clockmill.storage.claims import Claimant
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.supervisors import bury, bury_silent
from clockmill.storage.tables import attempt, lit, offer, supervisor, worker_report
from clockmill.storage.worker_reports import FINISHED, report_end

_S, _A, _O = supervisor.c, attempt.c, offer.c

# --- coming and going ------------------------------------------------------------------------------------------------


def register_worker(connection: Connection, worker: WorkerInfo, now: datetime) -> None:
    """Note a worker; doing it again changes nothing but what it says of itself."""
    values: dict[str, Any] = {
        "executor": worker.executor,
        "host": worker.host,
        "boot_id": worker.boot_id,
        "pid": worker.pid,
        "slots": worker.slots,
        "queues": worker.queues,
        "resources": worker.resources,
        "version": worker.version,
        "lease": worker.lease_seconds,
        "gateway": worker.gateway,
        "seen_at": now,
    }
    again = update(supervisor).where(_S.id == worker.id).values(**values)
    if connection.execute(again).rowcount == 0:
        connection.execute(insert(supervisor).values(id=worker.id, epoch=0, started_at=now, **values))


def take_over(connection: Connection, old: str, new: str, held: Sequence[tuple[str, str]], reason: str) -> None:
    """Give a worker what another one, which is surely gone, had and it found running; the rest of that is lost.

    :param held: ``(attempt id, token)``.
    """
    kept = dict(held)
    moved = [ident for ident, token, _ in held_by(connection, old) if kept.get(ident) == token]
    if moved:
        connection.execute(update(attempt).where(_A.id.in_(moved), LIVE_ATTEMPT).values(supervisor_id=new))
    give_up(connection, old, reason)


def give_up_silent(connection: Connection, ident: str, beat: int, reason: str) -> bool:
    """As :func:`give_up`, unless there was another beat since that one; whether it is gone."""
    is_gone = bury_silent(connection, ident, beat)
    if is_gone:
        give_up(connection, ident, reason)
    return is_gone


def give_up(connection: Connection, worker_id: str, reason: str) -> None:
    """Note that a worker, or a supervisor of another host, is gone; what it had and said nothing of is lost."""
    bury(connection, worker_id)
    for ident, token, _ in held_by(connection, worker_id):
        report_end(connection, ident, token, Outcome.LOST, reason)


_BEAT = (
    update(supervisor)
    .where(_S.id == bindparam("worker"), _S.is_alive, _S.beat <= bindparam("number"))
    .values(
        beat=bindparam("number"),
        busy=bindparam("busy_now"),
        is_draining=bindparam("draining"),
        seen_at=bindparam("now"),
    )
    .returning(_S.executor, _S.queues, _S.resources)
)
_LATEST = select(_S.beat).where(_S.id == bindparam("worker"), _S.is_alive)


def beat_worker(
    connection: Connection, worker_id: str, *, beat: int, busy: int, is_draining: bool, now: datetime
) -> Claimant | None:
    """Take in a sign of life, and hold the worker's row until the end of the transaction.

    :returns: who it is; None when it was given up.
    :raises GatewayUnavailable: when it has said more since then: what comes so late says what it held long ago.
    """
    told = {"worker": worker_id, "number": beat, "busy_now": busy, "draining": is_draining, "now": now}
    row = connection.execute(_BEAT, told).one_or_none()
    if row is None:
        latest = connection.execute(_LATEST, {"worker": worker_id}).scalar_one_or_none()
        if latest is None:
            return None
        raise GatewayUnavailable(f"The letter {beat} of the worker {worker_id} comes after its letter {latest}.")
    return Claimant(id=worker_id, executor=row.executor, queues=row.queues, resources=row.resources)


# --- what they hold -------------------------------------------------------------------------------------------------

_REPORTED = exists().where(worker_report.c.attempt_id == _A.id, worker_report.c.kind == FINISHED)
_HELD = (
    select(_A.id, _A.token, _A.state)
    .where(LIVE_ATTEMPT, _A.supervisor_id == bindparam("worker"), ~_REPORTED)
    .order_by(_A.id)
)
_WORKLOADS = select(_O.workload).where(_O.attempt_id.in_(bindparam("ids", expanding=True))).order_by(_O.attempt_id)


def held_by(connection: Connection, worker_id: str) -> list[tuple[str, str, bool]]:
    """What is a worker's own and not over: ``(attempt id, token, whether it is to be stopped)``."""
    rows = connection.execute(_HELD, {"worker": worker_id})
    return [(row.id, row.token, row.state == AttemptState.STOPPING) for row in rows]


def workloads_of(connection: Connection, attempt_ids: Collection[str]) -> list[dict[str, Any]]:
    """What it takes to run these attempts, each a :class:`~clockmill.protocols.Workload` as JSON."""
    return list(connection.scalars(_WORKLOADS, {"ids": sorted(attempt_ids)})) if attempt_ids else []


# --- those that are gone ---------------------------------------------------------------------------------------------

_BEATS = (
    select(_S.id, _S.beat, _S.lease, _S.queues)
    .where(_S.is_alive, or_(_S.executor.in_(bindparam("executors", expanding=True)), _S.lease.is_not(None)))
    .order_by(_S.id)
)
_UNCLAIMED = select(_A.id, _A.token, _A.executor).where(
    LIVE_ATTEMPT, _A.state == lit(AttemptState.STOPPING), _A.supervisor_id.is_(None)
)


@dataclass(frozen=True, slots=True)
class Beat:
    """The number of the last beat of a worker or a supervisor.

    :param lease: how long it may stand still, in seconds; None where it has not said so.
    """

    number: int
    lease: float | None
    is_worker: bool


def beats(connection: Connection, executors: Collection[str]) -> dict[str, Beat]:
    """The beats of the living workers of these executors, and of supervisors that have a lease, by their ids."""
    rows = connection.execute(_BEATS, {"executors": sorted(executors)})
    return {row.id: Beat(row.beat, row.lease, bool(row.queues)) for row in rows}


def unclaimed_stops(connection: Connection) -> list[tuple[str, str, str]]:
    """``(attempt id, token, executor)`` of what is to be stopped and was never begun: nobody can claim it any more."""
    return [(row.id, row.token, row.executor) for row in connection.execute(_UNCLAIMED)]
