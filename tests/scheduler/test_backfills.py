"""Backfills as the scheduler works on them: which runs are made, when they begin, what holds them back."""

from __future__ import annotations

from datetime import date
from typing import Any

from clockmill import DAG
from clockmill.actions.backfill import BackfillRequest, request_backfill
from clockmill.actions.backfill_steer import the_backfill
from clockmill.operators.bash import BashOperator
from clockmill.state import BackfillState, RunState


def daily(dag_id: str = "d", tasks: str = "t", **arguments: object) -> DAG:
    defaults: dict[str, Any] = {"schedule": "@daily", "max_active_runs": 3}
    with DAG(dag_id, **{**defaults, **arguments}) as dag:
        for name in tasks:
            BashOperator(task_id=name, bash_command="true")
    return dag


def backfill(mill, first: date = date(2025, 12, 1), last: date = date(2025, 12, 10), **options: Any) -> int:
    request = BackfillRequest(dag_id=options.pop("dag_id", "d"), first=first, last=last, **options)
    made = request_backfill(mill.db, mill.clock, request, actor="test")
    mill.pump()
    return made.id


def seen(mill, ident: int) -> Any:
    return mill.db.read(lambda c: the_backfill(c, ident))


def running(mill) -> list[str]:
    return [row.run_id.removeprefix("backfill__")[:10] for row in mill.runs("d") if row.state == RunState.RUNNING]


def states(mill) -> dict[str, str]:
    return {row.run_id[-25:-15]: row.state for row in mill.runs("d")}


def finish(mill, day: str, outcome: str = "success", task_id: str = "t") -> None:
    mill.clock.advance(1)
    run_id = next(row.run_id for row in mill.runs("d") if day in row.run_id)
    mill.finish(task_id, outcome, run_id=run_id)


def test_each_date_gets_one_run_and_the_backfill_ends_with_the_last(mill) -> None:
    mill.add(daily())
    ident = backfill(mill)
    runs = mill.runs("d")
    assert [row.run_id for row in runs[:2]] == [
        "backfill__2025-12-01T00:00:00+00:00",
        "backfill__2025-12-02T00:00:00+00:00",
    ]
    assert len(runs) == 10
    assert running(mill) == ["2025-12-01", "2025-12-02", "2025-12-03"]
    run = mill.run("d", runs[0].run_id)
    assert (run.run_type, run.backfill_id, run.run_after) == ("backfill", ident, runs[0].logical_date)
    assert {row.lane for row in mill.rows("d", runs[0].run_id)} == {1}
    while mill.executor.running():
        assert seen(mill, ident).state is BackfillState.RUNNING
        mill.finish("t")
    row = seen(mill, ident)
    assert (row.state, row.ended_at, row.run_count) == (BackfillState.SUCCESS, mill.clock.now(), 10)
