"""Reads that happen all the time find their rows by an index, however much history there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from clockmill.clock import parse_iso
from clockmill.protocols import StatesQuery, XComQuery
from clockmill.state import RunState
from clockmill.storage import (
    admission,
    attempts,
    backfill_pages,
    backfills,
    bulk,
    callbacks,
    claims,
    deadlines,
    events,
    failures,
    log_owners,
    look,
    offers,
    overlaps,
    pages,
    past,
    pools,
    resources,
    run_extras,
    run_pages,
    runs,
    schedules,
    triggers,
    worker_list,
    xcoms,
)
from clockmill.storage.engine import Database

NOW = parse_iso("2026-06-01T00:00:00")
FINISHED_RUNS = 4000

_NUMBERS = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {FINISHED_RUNS}) "
_IDLE_DAGS = (_NUMBERS + "INSERT INTO dag (dag_id, file, tags, created_at) SELECT 'idle' || i, 'f', '[]', i FROM n",)
_BACKFILLS = (
    "INSERT INTO backfill (id, dag_id, state, from_date, to_date, is_settled, conf, created_at, ended_at) "
    "VALUES (1, 'old', 'success', 1, 2, true, '{}', 1, 2), (2, 'old', 'running', 1, 2, true, '{}', 1, NULL)",
    "UPDATE dag_run SET backfill_id = 1, logical_date = id WHERE id > 3000",
)
_HISTORY = (
    _NUMBERS + "INSERT INTO dag_run (id, dag_id, run_id, version_id, state, run_type, run_after, conf, queued_at, "
    "start_date, end_date) SELECT 1000 + i, 'old', 'run' || i, 1, 'success', 'manual', i, '{}', i, i, i FROM n",
    _NUMBERS + "INSERT INTO task_instance (id, dag_run_id, task_id, state) SELECT 1000 + i, 1000 + i, 't', 'success' "
    "FROM n",
    _NUMBERS + "INSERT INTO attempt (id, task_instance_id, dag_run_id, try_number, state, token, executor, pool, "
    "pool_slots, queued_at, ended_at) SELECT 'old' || i, 1000 + i, 1000 + i, 1, 'success', 't', 'local', "
    "'default_pool', 1, i, i FROM n",
    _NUMBERS + "INSERT INTO xcom (id, dag_run_id, task_instance_id, task_id, try_number, key, value, created_at) "
    "SELECT 1000 + i, 1000 + i, 1000 + i, 't', 1, 'return_value', '1', i FROM n",
    _NUMBERS + "INSERT INTO task_trigger (id, task_instance_id, dag_run_id, class_path, kwargs, bundle, file, pool, "
    "pool_slots, created_at, timeout_at, triggerer) SELECT 1000 + i, 1000 + i, 1000 + i, 'c', '{}', 'b', 'f', "
    "'default_pool', 1, i, 4000000000000000, 't9' FROM n",
    _NUMBERS + "INSERT INTO callback (id, dag_run_id, kind, state, context, created_at, ended_at) "
    "SELECT 1000 + i, 1000 + i, 'on_failure_callback', 'success', '{}', i, i FROM n",
    _NUMBERS + "INSERT INTO deadline (id, dag_run_id, name, position, due_at, met_at) "
    "SELECT 1000 + i, 1000 + i, 'x', 0, i, i FROM n",
    _NUMBERS + "INSERT INTO supervisor (id, executor, host, boot_id, pid, slots, epoch, is_alive, started_at, queues, "
    "seen_at) SELECT 'gone' || i, 'local', 'h', 'b', 1, 4, 0, false, i, '[\"q\"]', i FROM n",
    _NUMBERS + "INSERT INTO event (id, at, kind, actor, dag_id, run_id, detail) "
    "SELECT 1000 + i, i, 'run_created', 'test', 'old', 'run' || i, '{}' FROM n",
)


@pytest.fixture
def busy(database: Database, rows: Any) -> Database:
    """A database with much history and a little that is going on."""
    version = rows.dag("old", next_run_after=NOW, max_consecutive_failed=9)
    run = rows.run(version, "old", "now", "running", deadline_at=NOW)
    rows.run(version, "old", "next", "queued")
    for number in range(4):
        rows.attempt(run, rows.task(run, f"running{number}"), f"live{number}")
        rows.task(run, f"ready{number}", "scheduled")
    rows.task(run, "again", "up_for_retry")
    for statement in (*_IDLE_DAGS, *_HISTORY, *_BACKFILLS):
        database.write(lambda c, sql=statement: c.exec_driver_sql(sql))
    rows.run(version, "old", "waits", "queued", backfill_id=2, logical_date=NOW)
    rows.run(version, "old", "no good", "failed", backfill_id=2, logical_date=NOW.replace(day=2))
    if not database.is_sqlite:  # whose server does it by itself
        analyse(database)
    return database


def analyse(database: Database) -> None:
    """Let the planner count the rows."""
    with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("ANALYZE"))


def read_previous_run(connection: Connection) -> object:
    run = runs.find_run(connection, "old", "run7")
    assert run is not None
    return past.previous_run(connection, replace(run, logical_date=NOW, backfill_id=2))


FULL = admission.Full(
    pools={"a": 0, "b": 2},
    runs={7},
    open_executors=frozenset({""}),
    dag_tasks={("old", "t"): 1},
    run_tasks={(7, "t"): 1},
    asks={("", "default", '{"gpu":1}')},
)
CLAIMANT = claims.Claimant(id="w1", executor="local", queues=["default"], resources={})


def asked(**more: Any) -> XComQuery:
    return XComQuery(dag_id="old", run_id="run7", key="return_value", task_ids=["t"], **more)


HOT_READS: dict[str, Callable[[Connection], object]] = {
    "ready tasks": lambda c: admission.ready_tasks(c, limit=100),
    "ready tasks behind full limits": lambda c: admission.ready_tasks(c, limit=100, full=FULL),
    "ready tasks of the next runs": lambda c: admission.ready_tasks_after(c, (0, 1), 5, limit=100),
    "ready tasks of the next runs behind full limits": lambda c: admission.ready_tasks_after(
        c, (0, 1), 5, limit=100, full=FULL
    ),
    "how many tasks go before one": lambda c: admission.count_before(c, (0, 1), 1007, 1007),
    "usage of pools and runs": attempts.usage,
    "usage of tasks": attempts.live_tasks,
    "what is asked for and offered": lambda c: resources.sources(c, ["local"]),
    "doorbells that were never rung": lambda c: offers.ring_at_last(c, ["celery"], [("celery", "slow")], 9),
    "what unclaimed offers ask for": lambda c: resources.unclaimed_asks(c, ["local"]),
    "who has resources": lambda c: resources.asking_holders(c, "local", limit=20),
    "tasks that ask for resources": lambda c: admission.asking_tasks(c, [""], FULL, limit=50),
    "the workers": lambda c: worker_list.list_workers(c, None),
    "whether anything waits for a worker": lambda c: offers.has_offers(c, "local"),
    "where anything waits for a worker": lambda c: offers.offered_queues(c, ["celery"]),
    "what a worker may claim": lambda c: claims.what_fits(c, CLAIMANT, None, 5),
    "what is still offered": lambda c: claims.still_open(c, ["old1"]),
    "the run before": read_previous_run,
    "the runs before": lambda c: past.previous_revisions(c, [1, 1007]),
    "the runs after": lambda c: past.next_running(c, [1, 1007]),
    "the states of tasks of the run before": lambda c: past.states_of_tasks(c, 1007, ["t"]),
    "an earlier run that waits for its turn": lambda c: past.queued_before(c, 1007),
    "how often a DAG may fail": lambda c: failures.failure_limits(c, ["old"]),
    "how often a DAG has failed": lambda c: failures.failed_in_a_row(c, "old", 3),
    "why a DAG is paused": lambda c: failures.why_paused(c, "old"),
    "pools with their usage": pools.list_pools,
    "who holds slots": lambda c: attempts.live_holders(c, pool_name="default_pool"),
    "attempts to be stopped": attempts.stopping_attempts,
    "task instances of runs": lambda c: list(bulk.tasks_of_runs(c, [1, 2])),
    "task instances with an attempt": lambda c: bulk.tasks_with_attempts(c, [1, 2]),
    "runs by their ids": lambda c: bulk.select_runs(c, "old", run_ids=["now"], limit=9),
    "live attempts of a supervisor": lambda c: attempts.live_attempts_of(c, "s1"),
    "live attempts of a run": lambda c: attempts.live_attempts_of_runs(c, [1]),
    "runs that are due": lambda c: runs.runs_due(c, NOW),
    "the next deadline": lambda c: runs.next_deadline(c, NOW),
    "callbacks that wait": lambda c: callbacks.hold_pending(c, 100),
    "callbacks of a run": lambda c: callbacks.callbacks_of_run(c, 1007),
    "runs with a deadline to look at": lambda c: deadlines.runs_with_due(c, NOW),
    "open deadlines of runs": lambda c: deadlines.open_deadlines(c, [1, 1007]),
    "how long the last runs took": lambda c: deadlines.seconds_of_runs(c, "old", most=21, only_good=True),
    "how long tasks took": lambda c: deadlines.seconds_of_tasks(c, "old", ["t"], most=21),
    "runs with a fired trigger": lambda c: triggers.runs_with_fired(c, 100),
    "runs with a late trigger": lambda c: triggers.runs_with_late(c, NOW, 100),
    "fired and late triggers of runs": lambda c: triggers.take_over(c, [1, 2], NOW),
    "the triggers of a triggerer": lambda c: triggers.held_by(c, "t1"),
    "triggers that nobody runs": lambda c: triggers.claim_triggers(c, "t1", 100),
    "the trigger of a task": lambda c: triggers.find_wait(c, 7),
    "DAGs with queued runs": runs.dags_with_queued_runs,
    "the active runs of a DAG": lambda c: runs.active_runs(c, "old"),
    "whether a run is there already": lambda c: runs.taken_run(c, "old", "run7", NOW),
    "the oldest queued runs": lambda c: runs.oldest_queued(c, "old", 5, NOW),
    "runs and tasks that a sensor looks for, by date": lambda c: look.states_seen(
        c, StatesQuery(dag_id="old", logical_dates=[NOW.isoformat()], task_ids=["t"])
    ),
    "runs and tasks that a trigger looks for, by id": lambda c: look.states_seen(
        c, StatesQuery(dag_id="old", run_ids=["run7", "now"], task_ids=["t"])
    ),
    "who made a run": lambda c: runs.creator_of(c, 1007),
    "what a scheduler reads of backfills": lambda c: read_backfills(c),
    "what a page reads of backfills": lambda c: (
        backfill_pages.count_states(c, [2]),
        backfill_pages.list_runs_of(c, 2),
        backfill_pages.list_backfills(c, dag_id="old"),
    ),
    "running runs": runs.running_revisions,
    "how many runs of a DAG run": lambda c: runs.running_count(c, "old"),
    "whether a DAG has an active run": lambda c: runs.has_active_run(c, "old"),
    "when the newest run of a DAG ended": lambda c: runs.newest_run_times(c, "old"),
    "DAGs that are due": lambda c: schedules.due_dags(c, NOW),
    "DAGs that run one after another": lambda c: schedules.idle_dags(c, "@continuous"),
    "runs that may overlap": lambda c: overlaps.active_beside_backfills(c, "old"),
    "DAGs of which a run is being cancelled": lambda c: overlaps.dags_being_cancelled(c, ["old"]),
    "DAGs of which a run is still ending": lambda c: overlaps.still_ending(c, ["old"]),
    "tasks that go on in a run that is over": lambda c: overlaps.ending_tasks(c, "old"),
    "DAGs that are short of ticks": lambda c: schedules.short_of_ticks(c, NOW),
    "one run": lambda c: runs.find_run(c, "old", "run7"),
    "the tasks of a run": lambda c: runs.load_tasks(c, 1007),
    "one XCom": lambda c: xcoms.find_xcoms(c, asked()),
    "one element of an XCom": lambda c: xcoms.find_xcoms(c, asked(element=3)),
    "an XCom whose elements are handed over": lambda c: xcoms.short_xcom(c, 1007, "return_value", 100),
    "the XCom of one instance of a mapped group": lambda c: xcoms.find_xcoms(c, asked(scope="3")),
    "one XCom of a mapped task": lambda c: xcoms.find_xcoms(c, asked(offset=3, limit=1)),
    "how long an XCom is": lambda c: xcoms.measure_xcoms(c, asked()),
    "the XComs of a run": lambda c: xcoms.list_xcoms(c, "old", "run7"),
    "the list of DAGs": pages.list_dags,
    "how many DAGs there are of each kind": pages.count_dags,
    "the newest runs of each DAG": lambda c: pages.newest_runs(c, ["old", "idle1"], per_dag=14),
    "the runs of a DAG": lambda c: pages.list_runs(c, "old"),
    "the runs of a DAG that failed": lambda c: pages.list_runs(c, "old", state="failed"),
    "the runs of a DAG that run": lambda c: pages.list_runs(c, "old", state="running"),
    "the runs of a DAG of one type": lambda c: pages.list_runs(c, "old", run_type="scheduled"),
    "deadlines that were missed lately": lambda c: deadlines.missed_since(c, NOW),
    "the next page of them": lambda c: pages.list_runs(c, "old", before=1500),
    "one task": lambda c: run_pages.find_task(c, 1007, "t", None),
    "how many tasks are in each state": lambda c: run_pages.count_states(c, 1007),
    "the attempts of a task": lambda c: run_pages.list_attempts(c, 1007),
    "the newest attempts of a task": lambda c: run_pages.list_attempts(c, 1007, newest=20),
    "whose logs are sent": lambda c: log_owners.owners_of(c, ["old7", "old8"]),
    "where attempts ran": lambda c: log_owners.hosts_of(c, ["old7", "old8"]),
    "the deadlines of a run": lambda c: run_extras.list_deadlines(c, 1007),
    "the calls of a run": lambda c: run_extras.list_callbacks(c, 1007),
    "the calls of a task": lambda c: run_extras.list_callbacks(c, 1007, task_instance_id=1007),
    "the states of the tasks of a run": lambda c: run_extras.task_briefs(c, 1007),
    "the attempts of a call": lambda c: run_extras.attempts_of_callback(c, 1007),
    "what tasks wait for": lambda c: run_extras.waits_of(c, [1007, 1008]),
    "the XComs of a task": lambda c: run_pages.list_xcoms(c, 1007, shown_chars=100),
    "the events of a run": lambda c: events.list_events(c, dag_id="old", run_id="run7"),
}


def read_backfills(connection: Connection) -> None:
    """Whatever a pass and the making of runs look at."""
    assert list(backfills.backfills_with_queued_runs(connection)) == [2]
    (row,) = backfills.running_backfills(connection)
    backfills.unsettled_backfills(connection)
    backfills.overlapping_backfill(connection, "old", NOW, NOW)
    backfills.queued_of_backfill(connection, row.id, run_backwards=True, limit=5)
    backfills.first_runs(connection, row.id, run_backwards=False, limit=5)
    backfills.count_runs(connection, row.id, RunState.RUNNING)
    backfills.count_failed_since(connection, row.id, NOW)
    backfills.failed_of_backfill(connection, row.id, after=NOW, limit=5)
    backfills.started_first(connection, row.id, run_backwards=False)
    backfills.taken_dates(connection, "old", NOW, NOW)
    backfills.taken_ids(connection, "old", ["run7"])


#: What a look without an index is called in a plan, of a table that grows with history. Walking through all of a
#: partial index is fine: it holds live rows only.
_TABLES = "supervisor|dag_run|task_instance|task_trigger|attempt|xcom|event|callback|deadline"
_LIVE_ROWS = (
    r"ix_dag_run_(active|deadline|running|queued)|ix_task_instance_\w+|ix_task_trigger_\w+|uq_attempt_live|"
    r"ix_callback_pending|ix_deadline_(open|warning)|ix_supervisor_alive"
)
_SCANS = {
    "sqlite": re.compile(rf"SCAN ({_TABLES})\b(?! USING (COVERING )?INDEX ({_LIVE_ROWS}))"),
    "postgresql": re.compile(rf"Seq Scan on ({_TABLES})\b"),
}


@pytest.mark.parametrize("name", HOT_READS)
def test_a_hot_read_uses_an_index(busy: Database, name: str) -> None:
    plans = busy.read(lambda connection: list(plans_of(connection, HOT_READS[name])))
    assert plans
    analyse(busy)
    for plan in plans + busy.read(lambda connection: list(plans_of(connection, HOT_READS[name]))):
        scan = _SCANS[busy.engine.dialect.name].search(plan)
        assert scan is None, plan


def test_the_dags_that_are_due_are_found_among_many(busy: Database) -> None:
    plans = busy.read(lambda connection: list(plans_of(connection, lambda c: schedules.due_dags(c, NOW))))
    assert ["ix_dag_due" in plan for plan in plans] == [True]
    assert [due.dag_id for due in busy.read(lambda c: schedules.due_dags(c, NOW))] == ["old"]


def plans_of(connection: Connection, read: Callable[[Connection], object]) -> Iterator[str]:
    """The plan of every statement that ``read`` sends."""
    with statements_sent(connection) as sent:
        read(connection)
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    for statement, parameters in sent:
        yield "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + statement, parameters))


@contextmanager
def statements_sent(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """Collects what goes to the driver."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    yield sent
    event.remove(connection, "before_cursor_execute", note)
