"""What the tests of backfills have in common: a daily DAG, its runs by their day of December 2025, and a person."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from clockmill import DAG
from clockmill.actions.backfill import BackfillRequest, request_backfill
from clockmill.actions.backfill_steer import cancel_backfill, resume_backfill, the_backfill
from clockmill.operators.bash import BashOperator
from clockmill.state import RunState

#: For what is decided above the database.
on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

S, F, Q, R = RunState.SUCCESS, RunState.FAILED, RunState.QUEUED, RunState.RUNNING


def daily(dag_id: str = "d", tasks: str = "t", **arguments: object) -> DAG:
    defaults: dict[str, Any] = {"schedule": "@daily", "max_active_runs": 3}
    with DAG(dag_id, **{**defaults, **arguments}) as dag:
        for name in tasks:
            BashOperator(task_id=name, bash_command="true")
    return dag


def backfill(mill, first: int | date = 1, last: int | date = 6, *, pump: bool = True, **options: Any) -> int:
    """Backfill days of December 2025, or those given."""
    days = {
        name: date(2025, 12, day) if isinstance(day, int) else day for name, day in (("first", first), ("last", last))
    }
    request = BackfillRequest(**{"dag_id": "d", **days, **options})
    made = request_backfill(mill.db, mill.clock, request, actor="test")
    if pump:
        mill.pump()
    return made.id


def seen(mill, ident: int = 1) -> Any:
    return mill.db.read(lambda c: the_backfill(c, ident))


def resume(mill, ident: int = 1, **options: Any) -> None:
    mill.clock.advance(1)
    resume_backfill(mill.db, mill.clock, ident, actor="test", **options)
    mill.pump()


def cancel(mill, ident: int = 1) -> None:
    cancel_backfill(mill.db, mill.clock, ident, actor="test")
    mill.pump()


def states(mill) -> dict[int, RunState]:
    """The state of each run by its day."""
    return {row.logical_date.day: row.state for row in mill.runs("d")}


def running(mill) -> list[int]:
    return [day for day, state in states(mill).items() if state == R]


def run_id(mill, day: int) -> str:
    return next(row.run_id for row in mill.runs("d") if row.logical_date.day == day)


def finish(mill, day: int, outcome: str = "success", task_id: str = "t") -> None:
    mill.clock.advance(1)
    mill.finish(task_id, outcome, run_id=run_id(mill, day))


def work_through(mill) -> None:
    while mill.executor.running():
        mill.clock.advance(1)
        mill.finish(mill.executor.running()[0])


def clear(mill, day: int) -> None:
    """What a person does who clears all of a run."""
    mill.clear("d", run_id=run_id(mill, day))
