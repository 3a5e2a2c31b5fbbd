"""What workers say of their attempts, kept until a scheduler has applied it."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, delete, select

from clockmill.protocols import AttemptReport
from clockmill.state import Outcome
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.offers import drop_offers
from clockmill.storage.tables import attempt, worker_report
from clockmill.storage.upsert import insert_missing

_A = attempt.c

STARTED, FINISHED = "started", "finished"

_IS_LIVE = select(_A.id, _A.token).where(_A.id.in_(bindparam("ids", expanding=True)), LIVE_ATTEMPT)


def store_reports(connection: Connection, kind: str, reports: Sequence[tuple[str, str, dict[str, Any]]]) -> None:
    """Keep what workers say of live attempts, for a scheduler to apply; a second report of the same kind is dropped.

    :param reports: ``(attempt id, token, body)``; those with another token are dropped.
    """
    if not reports:
        return
    live = {
        row.id: row.token for row in connection.execute(_IS_LIVE, {"ids": sorted({ident for ident, _, _ in reports})})
    }
    rows = [
        {"attempt_id": ident, "kind": kind, "body": json.dumps(body)}
        for ident, token, body in reports
        if live.get(ident) == token
    ]
    if rows:
        connection.execute(insert_missing(connection, worker_report), rows)


def report_end(connection: Connection, attempt_id: str, token: str, outcome: Outcome, reason: str) -> None:
    """Say of an attempt what its worker cannot say; when that has said something itself, that holds."""
    report = AttemptReport(attempt_id=attempt_id, token=token, outcome=outcome.value, reason=reason)
    store_reports(connection, FINISHED, [(attempt_id, token, report.to_json())])


_WAITING = (
    select(worker_report.c.kind, worker_report.c.body, _A.executor)
    .join(attempt, _A.id == worker_report.c.attempt_id)
    .where(_A.dag_run_id.not_in(bindparam("aside", expanding=True)))
    .order_by(worker_report.c.id)
    .limit(bindparam("most", type_=Integer))
)
_FORGET = delete(worker_report).where(worker_report.c.attempt_id.in_(bindparam("ids", expanding=True)))
_FORGET_STARTS = _FORGET.where(worker_report.c.kind == STARTED)


def waiting_reports(
    connection: Connection, limit: int, aside: Collection[int] = ()
) -> list[tuple[str, str, dict[str, Any]]]:
    """``(executor, kind, body)`` of the oldest reports that no scheduler has applied yet.

    :param aside: row ids of runs whose reports are left where they are.
    """
    rows = connection.execute(_WAITING, {"most": limit, "aside": sorted(aside)})
    return [(row.executor, row.kind, json.loads(row.body)) for row in rows]


def forget_reports(connection: Connection, ended: Collection[str], started: Collection[str]) -> None:
    """Drop what was applied: all that is kept of attempts that ended, and of others that they have started."""
    if ended:
        connection.execute(_FORGET, {"ids": sorted(ended)})
        drop_offers(connection, ended)
    if started:
        connection.execute(_FORGET_STARTS, {"ids": sorted(started)})
