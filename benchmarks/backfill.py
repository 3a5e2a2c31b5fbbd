"""Backfill: the runs of a daily DAG of three tasks for a stretch of the past, made and worked off by a backfill."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy import func, select

from benchmarks.figures import Figure
from benchmarks.stage import attempts_of, await_dag, await_runs, stage
from clockmill.storage.engine import Database
from clockmill.storage.tables import backfill, dag_run

SOURCE = """
from clockmill import DAG
from clockmill.operators.python import PythonOperator

def nothing():
    pass

with DAG("backfill", schedule="@daily"):
    a, b, c = (PythonOperator(task_id=name, python_callable=nothing) for name in "abc")
    a >> b >> c
"""


def _creation_seconds(database: Database) -> float:
    """From the wish for the backfill to the last of its runs."""
    asked = database.read(lambda c: c.execute(select(func.min(backfill.c.created_at))).scalar_one())
    last = database.read(lambda c: c.execute(select(func.max(dag_run.c.queued_at))).scalar_one())
    return float((last - asked).total_seconds())


def _once(database: str, days: int) -> tuple[float, float]:
    first = date(2012, 1, 1)
    with stage(database) as theatre, theatre.rows() as rows:
        theatre.add_dag("backfill", SOURCE)
        with theatre.standalone("--no-examples"):
            await_dag(rows, "backfill")
            last = first + timedelta(days=days - 1)
            theatre.cli("backfill", "create", "backfill", "--from", str(first), "--to", str(last))
            await_runs(rows, "backfill", days, 900)
        done: list[Any] = attempts_of(rows, "backfill")
        took = (max(row.ended_at for row in done) - min(row.started_at for row in done)).total_seconds()
        return len(done) / took, _creation_seconds(rows)


def run(database: str, runs: int, *, days: int = 365) -> list[Figure]:
    """Backfill ``runs`` times, each in a home of its own."""
    results = [_once(database, days) for _ in range(runs)]
    return [
        Figure(name=f"backfill of {days} days, 3 tasks each", unit="tasks/s", values=[rate for rate, _ in results]),
        Figure(name=f"backfill: creation of {days} runs", unit="s", values=[seconds for _, seconds in results]),
    ]
