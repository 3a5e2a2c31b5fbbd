"""Trigger a run by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from clockmill.actions.conf import checked_conf
from clockmill.actions.create import RunOrder, place, run_id_for
from clockmill.actions.notes import checked_note
from clockmill.actions.schedules import refuse_run_type, schedule_for
from clockmill.clock import Clock, iso
from clockmill.errors import Conflict, NotFound, UsageError
from clockmill.events import Event, EventKind
from clockmill.ids import id_problem
from clockmill.serde import decode
from clockmill.state import RunType
from clockmill.storage.dags import lock_dags
from clockmill.storage.engine import Connection, Database
from clockmill.storage.events import append
from clockmill.storage.records import RunRow
from clockmill.storage.runs import find_run, taken_run
from clockmill.storage.versions import dag_ids, dag_state, version


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggered:
    """The answer to a trigger.

    :param created: false when a run with that id was there already; it is the answer then.
    :param is_paused: the DAG is paused, so the run waits until somebody unpauses it.
    """

    run: RunRow
    created: bool
    is_paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerOrder:
    """A run that a person or a task wants now.

    :param run_id: the id that it shall have; made from its logical date when None.
    :param conf: what :func:`clockmill.actions.conf.checked_conf` let pass.
    :param logical_date: the present instant when None.
    :param run_after: when it may begin; at once when None.
    """

    dag_id: str
    run_type: RunType
    actor: str
    conf: dict[str, Any]
    run_id: str | None = None
    logical_date: datetime | None = None
    note: str = ""
    run_after: datetime | None = None


def trigger_run(
    database: Database,
    clock: Clock,
    dag_id: str,
    *,
    actor: str,
    conf: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    logical_date: datetime | None = None,
    note: str = "",
) -> Triggered:
    """Queue a manual run of a DAG's newest version; the caller wakes the scheduler.

    :param conf: values for the DAG's parameters, and whatever else its tasks read from ``dag_run.conf``.
    :param logical_date: the present instant when None.
    :param note: what people shall read at the run.
    :raises NotFound: when there is no such DAG.
    :raises Conflict: when another run has that logical date.
    :raises UsageError: when the run id, the note or the configuration is no good, or the parameters do not fit.
    """
    now = clock.now()
    order = TriggerOrder(
        dag_id=dag_id,
        run_type=RunType.MANUAL,
        actor=actor,
        conf=checked_conf(conf or {}),
        run_id=run_id,
        logical_date=logical_date,
        note=checked_note(note),
    )
    return database.write(lambda connection: trigger_in(connection, order, now))


def trigger_in(connection: Connection, order: TriggerOrder, now: datetime) -> Triggered:
    """Do it inside a transaction of the caller.

    :raises NotFound: as :func:`trigger_run` does, like the others.
    :raises Conflict: when another run has that logical date.
    :raises UsageError: when the run id is no good, or the parameters do not fit.
    """
    dag_id = order.dag_id
    if order.run_id is not None and (problem := id_problem("run", order.run_id)):
        raise UsageError(problem)
    state = dag_state(connection, dag_id)
    if state.version_id is None:
        raise NotFound("DAG", dag_id, dag_ids(connection))
    if not state.is_active:
        raise UsageError(f"The file of DAG {dag_id!r} is gone, so it cannot be triggered.")
    lock_dags(connection, [dag_id])
    row = version(connection, state.version_id)
    document = decode(row.document)
    refuse_run_type(document, order.run_type)
    tick = schedule_for(connection, document).timetable.manual(order.logical_date or now)
    date = order.logical_date or tick.logical_date
    name = order.run_id or run_id_for(order.run_type, date)
    if found := taken_run(connection, dag_id, name, date):
        if found.run_id == name:
            return Triggered(run=found, created=False, is_paused=state.is_paused)
        raise Conflict(f"The run {found.run_id!r} of DAG {dag_id!r} already has the logical date {iso(date)}.")
    document.run_params(order.conf)
    tick = replace(tick, run_after=order.run_after or min(tick.run_after, now))
    new = RunOrder(
        run_type=order.run_type,
        tick=tick,
        logical_date=date,
        run_id=name,
        conf=order.conf,
        actor=order.actor,
        note=order.note,
    )
    place(connection, document, row.id, new, now)
    event = Event(kind=EventKind.RUN_CREATED, at=now, actor=order.actor, dag_id=dag_id, run_id=name)
    append(connection, [event])
    made = find_run(connection, dag_id, name)
    if made is None:
        raise AssertionError("the run that was just made is not there")
    return Triggered(run=made, created=True, is_paused=state.is_paused)
