"""What one scheduler cannot work on is left aside until it changes, and holds up nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from clockmill import DAG
from clockmill.operators.bash import BashOperator
from clockmill.scheduler.quarantine import Quarantine
from clockmill.state import RunState, TaskState
from clockmill.storage import tables
from tests.mill import Mill

DAY = datetime(2025, 12, 31, tzinfo=UTC)


def add(mill: Mill, dag_id: str, **arguments: Any) -> None:
    with DAG(dag_id, **{"schedule": None, **arguments}) as dag:
        first, second = (BashOperator(task_id=name, bash_command="true") for name in ("a", "b"))
        first >> second
    mill.add(dag)


def set_document(mill: Mill, dag_id: str, text: str) -> str:
    """Let the version of a DAG say something else; returns what it said."""
    versions = tables.dag_version
    document: str = mill.db.read(
        lambda c: c.execute(select(versions.c.document).where(versions.c.dag_id == dag_id)).scalar_one()
    )
    mill.db.write(lambda c: c.execute(update(versions).where(versions.c.dag_id == dag_id).values(document=text)))
    return document


def spoil(mill: Mill, dag_id: str) -> str:
    """Make a DAG unreadable, as one that newer code wrote; returns what it said."""
    return set_document(mill, dag_id, '{"schema": 99}')


def pin_to_nonsense(mill: Mill, run_id: str) -> None:
    """Pin a run to a version that nobody can read."""
    versions, runs = tables.dag_version, tables.dag_run

    def work(connection: Any) -> None:
        (old,) = connection.execute(select(versions)).mappings()
        values = {name: value for name, value in old.items() if name != "id"}
        values |= {"document": '{"schema": 99}', "number": 2, "document_hash": "nonsense"}
        ident = connection.execute(insert(versions).values(**values).returning(versions.c.id)).scalar_one()
        connection.execute(update(runs).where(runs.c.run_id == run_id).values(version_id=ident))

    mill.db.write(work)


def touch(mill: Mill, run_id: str) -> None:
    """Change a run as somebody else would."""
    runs = tables.dag_run
    change = update(runs).where(runs.c.run_id == run_id).values(revision=runs.c.revision + 1)
    mill.db.write(lambda c: c.execute(change))


def test_the_timers_of_a_run_that_is_left_aside_hold_up_those_of_no_other(mill: Mill) -> None:
    for dag_id in ("bad", "good"):
        add(mill, dag_id, dagrun_timeout=timedelta(minutes=1))
        mill.trigger(dag_id, f"of_{dag_id}")
    spoil(mill, "bad")
    mill.restart()
    mill.pump()
    mill.pass_time(minutes=1)
    assert mill.run_state("good", "of_good") is RunState.FAILED
    assert mill.run_state("bad", "of_bad") is RunState.RUNNING
    assert not mill.service.run_once()  # and the scheduler comes to rest


def test_a_queued_run_that_cannot_begin_keeps_no_other_from_it(mill: Mill) -> None:
    add(mill, "d", max_active_runs=1)
    for run_id in ("first", "bad", "good"):
        mill.clock.advance(1)
        mill.trigger("d", run_id)
    pin_to_nonsense(mill, "bad")
    mill.finish("a", "failed")
    states = {run_id: mill.run_state("d", run_id) for run_id in ("bad", "good")}
    assert states == {"bad": RunState.QUEUED, "good": RunState.RUNNING}


def test_a_run_that_was_left_aside_is_worked_on_again_in_full_once_it_changes(mill: Mill) -> None:
    add(mill, "d")
    mill.trigger("d")
    document = spoil(mill, "d")
    mill.restart()
    mill.pump()
    set_document(mill, "d", document)
    touch(mill, "r1")
    mill.finish("a")
    assert mill.states("d") == {"a": TaskState.SUCCESS, "b": TaskState.RUNNING}


def test_a_dag_that_cannot_be_scheduled_keeps_no_other_from_it(mill: Mill) -> None:
    for dag_id in ("always", "bad", "good"):
        schedule = "@continuous" if dag_id == "always" else "@daily"
        add(mill, dag_id, schedule=schedule, start_date=DAY, catchup=True, max_active_runs=1)
    documents = {dag_id: spoil(mill, dag_id) for dag_id in ("always", "bad")}
    mill.pump()
    assert [len(mill.runs(dag_id)) for dag_id in ("always", "bad", "good")] == [0, 0, 2]
    assert not mill.service.run_once()
    set_document(mill, "bad", documents["bad"])
    mill.restart()
    mill.pump()
    assert len(mill.runs("bad")) == 2


def test_a_quarantine_lets_go_what_carries_another_mark() -> None:
    aside: Quarantine[str] = Quarantine()
    aside.put("a", 1)
    aside.put("b", 1)
    aside.put("c", 1)
    assert aside.holds("a", 1) and "a" in aside and len(aside) == 3
    assert not aside.holds("a", 2) and "a" not in aside
    assert not aside.holds("d", 1)
    aside.compare({"b": 1, "c": 2})
    assert list(aside) == ["b"]
