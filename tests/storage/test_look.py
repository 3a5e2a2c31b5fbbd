"""What sensors and triggers see of the runs of other DAGs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from clockmill import DAG, TaskGroup
from clockmill.clock import iso
from clockmill.operators.empty import EmptyOperator
from clockmill.protocols import StatesQuery, StatesSeen
from clockmill.serde import dumps, encode
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.storage.look import states_seen

Look = Callable[..., StatesSeen]


@pytest.fixture
def look(database: Database, rows: Any) -> Look:
    """DAG ``d`` with a task, groups in groups, and two runs; in the second, three instances of a mapped task."""
    with DAG("d", schedule=None) as dag:
        EmptyOperator(task_id="a")
        with TaskGroup("outer"):
            EmptyOperator(task_id="b")
            with TaskGroup("inner", prefix_group_id=False):
                EmptyOperator(task_id="c")
    version = rows.dag("d")
    document = update(tables.dag_version).where(tables.dag_version.c.id == version)
    database.write(lambda connection: connection.execute(document.values(document=dumps(encode(dag)))))
    first = rows.run(version, "d", "first", "success", logical_date=rows.moment(1))
    rows.task(first, "a", "success")
    second = rows.run(version, "d", "second", "running", logical_date=rows.moment(2))
    for index, state in enumerate(("success", "success", "failed")):
        rows.task(second, "a", state, map_index=index)
    for task_id in ("outer.b", "c"):
        rows.task(second, task_id, "skipped")
    return lambda **asked: database.read(lambda connection: states_seen(connection, StatesQuery(**asked)))


def test_runs_are_found_by_id_and_by_date(look: Look, rows: Any) -> None:
    by_date = look(dag_id="d", logical_dates=[iso(rows.moment(1)), iso(rows.moment(9))])
    assert by_date.is_known
    assert by_date.runs == [
        {"run_id": "first", "logical_date": iso(rows.moment(1)), "state": "success", "tasks": {}},
    ]
    by_id = look(dag_id="d", run_ids=["first", "second", "third"])
    assert {run["run_id"]: run["state"] for run in by_id.runs} == {"first": "success", "second": "running"}
    assert look(dag_id="d", run_ids=[]).runs == []


def test_the_instances_of_tasks_are_counted_by_state(look: Look) -> None:
    (run,) = look(dag_id="d", run_ids=["second"], task_ids=["a", "c", "nothing"]).runs
    assert run["tasks"] == {"a": {"success": 2, "failed": 1}, "c": {"skipped": 1}}


def test_a_group_stands_for_all_tasks_in_it(look: Look) -> None:
    (run,) = look(dag_id="d", run_ids=["second"], group_id="outer").runs
    assert set(run["tasks"]) == {"outer.b", "c"}
    (run,) = look(dag_id="d", run_ids=["second"], group_id="outer.inner").runs
    assert set(run["tasks"]) == {"c"}


def test_what_is_missing_is_told_when_it_is_asked_for(look: Look) -> None:
    asked = {"dag_id": "d", "run_ids": ["first"], "task_ids": ["a", "zz"], "group_id": "gg"}
    assert look(**asked, check=True).missing == ["zz", "gg"]
    assert look(**asked).missing == []


def test_a_dag_that_is_not_there_or_whose_file_is_gone_is_not_known(look: Look, database: Database) -> None:
    assert look(dag_id="other", run_ids=["first"]) == StatesSeen(is_known=False)
    gone = update(tables.dag).values(is_active=False)
    database.write(lambda connection: connection.execute(gone))
    seen = look(dag_id="d", run_ids=["first"], check=True)
    assert (seen.is_known, len(seen.runs)) == (False, 1)
