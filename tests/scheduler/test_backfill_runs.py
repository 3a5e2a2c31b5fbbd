"""The runs that a backfill makes: one for each date, what they are made of, and which version they have."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from sqlalchemy import select, update

from clockmill import DAG
from clockmill.actions.dags import delete_dag
from clockmill.operators.bash import BashOperator
from clockmill.serde import dumps, encode
from clockmill.state import BackfillState, TaskState
from clockmill.state.backfill import ReprocessBehavior
from clockmill.storage import tables
from clockmill.storage.backfill_pages import list_backfills
from clockmill.testing.executor import ScriptedExecutor
from tests.backfilling import (
    R,
    backfill,
    daily,
    finish,
    on_one_database,
    resume,
    run_id,
    running,
    seen,
    states,
    work_through,
)


def test_each_date_gets_one_run_and_the_backfill_ends_with_the_last(mill) -> None:
    mill.add(daily())
    ident = backfill(mill)
    assert len(mill.runs("d")) == 6
    assert mill.runs("d")[1].run_id == "backfill__2025-12-02T00:00:00+00:00"
    assert running(mill) == [1, 2, 3]
    run = mill.run("d", run_id(mill, 1))
    assert (run.run_type, run.backfill_id, run.run_after) == ("backfill", ident, run.logical_date)
    assert {row.lane for row in mill.rows("d", run.run_id)} == {1}
    while mill.executor.running():
        assert seen(mill).state is BackfillState.RUNNING
        mill.finish("t")
    row = seen(mill)
    assert (row.state, row.ended_at, row.run_count, row.reason) == (BackfillState.SUCCESS, mill.clock.now(), 6, "")
    told = [event.detail["state"] for event in mill.events("backfill_state")]
    assert (len(mill.events("backfill_created")), told) == (1, ["success"])


@on_one_database
def test_a_failed_run_lets_it_fail_when_all_runs_are_over_and_not_before(mill) -> None:
    mill.add(daily())
    backfill(mill)
    finish(mill, 1, "failed")
    assert seen(mill).state is BackfillState.RUNNING
    work_through(mill)
    assert (seen(mill).state, seen(mill).reason) == (BackfillState.FAILED, "1 of 6 runs failed")


@on_one_database
def test_the_last_day_is_meant_whole(mill) -> None:
    mill.add(daily(schedule="@hourly"))
    backfill(mill, 1, 2)
    assert len(mill.runs("d")) == 48
    assert mill.runs("d")[-1].logical_date == datetime(2025, 12, 2, 23, tzinfo=UTC)


@on_one_database
@pytest.mark.parametrize(("micros", "last_day"), [(0, 3), (1, 2)])
def test_the_last_instant_is_included_and_nothing_after_it(mill, micros: int, last_day: int) -> None:
    mill.add(daily())
    until = datetime(2025, 12, 3, tzinfo=UTC) if not micros else datetime(2025, 12, 2, 23, 59, 59, 999999, tzinfo=UTC)
    backfill(mill, last=until)
    assert list(states(mill)) == list(range(1, last_day + 1))


@on_one_database
def test_days_are_those_of_the_zone_of_the_dag(mill) -> None:
    mill.add(daily(schedule="@hourly", timezone="Europe/Berlin"))
    backfill(mill, first=date(2025, 3, 30), last=date(2025, 3, 30))
    assert len(mill.runs("d")) == 23
    assert mill.runs("d")[0].logical_date == datetime(2025, 3, 29, 23, tzinfo=UTC)


@on_one_database
def test_a_run_is_named_by_the_beginning_of_its_interval(mill) -> None:
    from clockmill.timetables import CronDataIntervalTimetable

    mill.add(daily(schedule=CronDataIntervalTimetable("@daily")))
    backfill(mill, 30, 31)
    run = mill.run("d", run_id(mill, 31))
    assert (run.logical_date, run.run_after) == (datetime(2025, 12, 31, tzinfo=UTC), mill.clock.now())
    assert list(states(mill)) == [30, 31]


@on_one_database
def test_dates_that_are_not_due_yet_are_left_to_their_tick(mill) -> None:
    mill.add(daily())
    backfill(mill, last=date(2026, 1, 3), first=date(2025, 12, 30))
    assert list(states(mill)) == [30, 31, 1]
    mill.pass_time(days=1)
    assert mill.runs("d")[-1].run_id == "scheduled__2026-01-02T00:00:00+00:00"


def test_many_dates_are_made_in_several_transactions_by_several_schedulers(mill) -> None:
    other = mill.another(ScriptedExecutor(mill.clock, supervisor_id="b"))
    mill.add(daily())
    ident = backfill(mill, first=date(2024, 1, 1), last=date(2025, 3, 15), pump=False)
    made = []
    for service in [mill.service, other] * 3:
        mill.listener.called = True
        service.run_once()
        made.append(len(mill.runs("d")))
    assert made[:3] == [200, 400, 440]
    assert made[-1] == seen(mill, ident).run_count == 440
    assert sum(row.state == R for row in mill.runs("d")) == 3


@on_one_database
def test_a_dag_with_many_tasks_is_made_fewer_dates_at_a_time(mill) -> None:
    with DAG("d", schedule="@daily") as dag:
        for number in range(1000):
            BashOperator(task_id=f"t{number}", bash_command="true")
    mill.add(dag, paused=True)
    backfill(mill, 1, 12, pump=False)
    mill.service.run_once()
    assert len(mill.runs("d")) == 5


@on_one_database
def test_the_configuration_reaches_each_run(mill) -> None:
    mill.add(daily())
    backfill(mill, 1, 1, conf={"a": 1})
    assert mill.run("d", run_id(mill, 1)).conf == {"a": 1}


def test_only_the_chosen_tasks_run(mill) -> None:
    with DAG("d", schedule="@daily") as dag:
        a, b, c = (BashOperator(task_id=name, bash_command="true") for name in ("load_a", "clean", "load_c"))
        a >> b >> c
    mill.add(dag)
    backfill(mill, 1, 1, tasks="^load")
    name = run_id(mill, 1)
    assert mill.states("d", name)["clean"] is TaskState.REMOVED
    assert "--tasks ^load of backfill 1" in mill.row("d", "clean", name).reason
    work_through(mill)
    assert mill.states("d", name) == {"load_a": "success", "clean": "removed", "load_c": "success"}
    assert seen(mill).state is BackfillState.SUCCESS


@on_one_database
def test_a_dag_whose_schedule_is_gone_meanwhile_pauses_its_backfill_with_that_reason(mill) -> None:
    mill.add(daily())
    backfill(mill, pump=False)
    document = mill.db.read(lambda c: c.execute(select(tables.dag_version.c.document)).scalar_one())
    changed = json.dumps({**json.loads(document), "timetable": {"type": "null"}})
    mill.db.write(lambda c: c.execute(update(tables.dag_version).values(document=changed)))
    mill.pump()
    assert mill.runs("d") == []
    assert (seen(mill).state, "has no schedule" in seen(mill).reason) == (BackfillState.PAUSED, True)
    mill.db.write(lambda c: c.execute(update(tables.dag_version).values(document=document)))
    mill.restart()  # as versions never change, the scheduler has the one without in memory
    resume(mill)
    assert len(mill.runs("d")) == 6


def test_a_backfill_goes_with_its_dag(mill) -> None:
    mill.add(daily(), paused=True)
    backfill(mill)
    delete_dag(mill.db, mill.clock, "d", actor="test")
    mill.pump()
    assert mill.db.read(list_backfills) == []


def new_version(mill, dag: DAG) -> None:
    """Store a DAG that is known as its parser would after a change of its file."""
    text = dumps(encode(dag))

    def work(connection: Any) -> None:
        old = connection.execute(select(tables.dag_version)).one()._mapping
        values = {**old, "id": None, "number": 2, "document": text, "document_hash": "new"}
        del values["id"]
        made = tables.dag_version.insert().values(**values).returning(tables.dag_version.c.id)
        connection.execute(update(tables.dag).values(version_id=connection.execute(made).scalar_one()))

    mill.db.write(work)


def test_what_is_repeated_runs_in_the_newest_version(mill) -> None:
    mill.add(daily())
    backfill(mill, 1, 1)
    work_through(mill)
    new_version(mill, daily(tasks="tu"))
    backfill(mill, 1, 2, reprocess_behavior=ReprocessBehavior.COMPLETED)
    work_through(mill)
    for day in (1, 2):
        assert mill.states("d", run_id(mill, day)) == {"t": "success", "u": "success"}
    assert {row.lane for row in mill.rows("d", run_id(mill, 1))} == {1}
