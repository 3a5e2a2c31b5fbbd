"""Who starts is what a plain reading of the limits says; and no admission ever takes a limit above what it is."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, update

from clockmill import DAG
from clockmill.actions.trigger import trigger_run
from clockmill.operators.bash import BashOperator
from clockmill.scheduler.service import SchedulerService
from clockmill.scheduler.steps import admit
from clockmill.state import LIVE_ATTEMPT_STATES, RunState
from clockmill.storage import tables
from clockmill.storage.pools import Pool, set_pools
from clockmill.testing.executor import ScriptedExecutor
from tests.mill import SilentListener

A, T, R, P = tables.attempt.c, tables.task_instance.c, tables.dag_run.c, tables.pool.c
SLOTS = 4

tasks = st.fixed_dictionaries(
    {
        "pool": st.sampled_from(["p0", "p1", "default_pool", "nowhere"]),
        "pool_slots": st.integers(1, 3),
        "priority_weight": st.integers(0, 2),
        "max_active_tis_per_dag": st.sampled_from([None, None, 1, 2]),
        "max_active_tis_per_dagrun": st.sampled_from([None, None, 1, 2]),
        "executor": st.sampled_from([None, None, "elsewhere"]),
    }
)
mills = st.fixed_dictionaries(
    {
        "tasks": st.lists(tasks, min_size=1, max_size=4),
        "copies": st.integers(1, 3),
        "runs": st.integers(1, 2),
        "max_active_tasks": st.integers(1, 5),
        "pools": st.tuples(st.integers(0, 3), st.integers(0, 3)),
    }
)


def dag_of(dag_id: str, plan: dict[str, Any]) -> DAG:
    with DAG(dag_id, schedule=None, max_active_tasks=plan["max_active_tasks"]) as dag:
        for number, arguments in enumerate(plan["tasks"]):
            given_ = {**arguments, "task_id": f"t{number}", "weight_rule": "absolute"}
            BashOperator.partial(**given_).expand(bash_command=["true"] * plan["copies"])
    return dag


def plain_reading(rows: list[Any], pools: dict[str, int]) -> list[int]:
    """The tasks that start, one after another, each with everything that is in its way looked at."""
    used: Counter[Any] = Counter()
    chosen = []
    turn: Counter[Any] = Counter()
    order = []
    for row in sorted(rows, key=lambda row: row.id):
        order.append((row.lane, -row.priority, turn[row.dag_run_id, row.priority], row.dag_run_id, row))
        turn[row.dag_run_id, row.priority] += 1
    for *_, row in sorted(order, key=lambda entry: entry[:4]):
        claims = {
            ("pool", row.pool): (row.pool_slots, pools.get(row.pool, 0)),
            ("run", row.dag_run_id): (1, row.max_active_tasks),
            ("executor",): (1, SLOTS if row.executor == "" else 0),
            ("dag task", row.task_id): (1, row.max_active_per_dag or 1000),
            ("run task", row.dag_run_id, row.task_id): (1, row.max_active_per_run or 1000),
        }
        if all(used[key] + amount <= most for key, (amount, most) in claims.items()):
            chosen.append(row.id)
            used.update({key: amount for key, (amount, _) in claims.items()})
    return chosen


@settings(
    derandomize=True,
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plan=mills)
def test_those_start_that_a_plain_reading_of_every_limit_admits(mill, plan: dict[str, Any]) -> None:
    mill.executor.info = mill.executor.info.__class__(id="s", host="h", boot_id="b", pid=1, slots=SLOTS)
    pools = {"default_pool": 128, "p0": plan["pools"][0], "p1": plan["pools"][1]}
    mill.db.write(
        lambda c: set_pools(c, [Pool(name=n, slots=s) for n, s in pools.items()], at=mill.clock.now(), actor="t")
    )
    dag = dag_of(f"d{mill.clock.monotonic():.0f}", plan)
    mill.add(dag)
    mill.executor.takes_work = False
    for number in range(plan["runs"]):
        mill.clock.advance(1)
        mill.trigger(dag.dag_id, f"r{number}")
    rows = mill.db.read(
        lambda c: c.execute(
            select(tables.task_instance, R.max_active_tasks).join(tables.dag_run).where(T.state == "scheduled")
        ).all()
    )
    assert len(rows) == len(plan["tasks"]) * plan["copies"] * plan["runs"]
    mill.executor.takes_work = True
    mill.pump()
    started = [held.attempt_id for held in mill.executor.held.values()]
    attempts = mill.db.read(lambda c: dict(c.execute(select(A.id, A.task_instance_id).where(A.id.in_(started))).all()))
    assert sorted(attempts[ident] for ident in started) == sorted(plain_reading(rows, pools))
    mill.executor.held.clear()
    mill.db.write(lambda c: c.execute(tables.dag_run.delete()))
    mill.restart()


# --- two at once ----------------------------------------------------------------------------

LIVE = A.state.in_(sorted(LIVE_ATTEMPT_STATES))


def over_the_limit(connection: Any, pools: set[str]) -> list[str]:
    """Every limit of these pools, runs and tasks that is exceeded, counted anew."""
    used = select(A.pool, func.sum(A.pool_slots)).where(LIVE, A.pool.in_(pools)).group_by(A.pool)
    slots = dict(connection.execute(select(P.name, P.slots)).all())
    found = [f"pool {name}: {n} of {slots[name]}" for name, n in connection.execute(used) if n > slots[name]]
    live = select(R.dag_id, R.id, T.task_id, R.max_active_tasks, T.max_active_per_dag).where(
        LIVE, A.task_instance_id == T.id, A.dag_run_id == R.id
    )
    rows = connection.execute(live).all()
    runs = Counter(row.id for row in rows)
    each = Counter((row.dag_id, row.task_id) for row in rows)
    found += [f"run {row.id}: {runs[row.id]}" for row in rows if runs[row.id] > row.max_active_tasks]
    found += [f"task {row.task_id}" for row in rows if each[row.dag_id, row.task_id] > (row.max_active_per_dag or 99)]
    return found


def too_early(connection: Any, attempts: Any) -> list[str]:
    """The tasks that depend on the past and begin before that of the run before has succeeded."""
    found = []
    for new in attempts:
        row = connection.execute(
            select(R.dag_id, R.logical_date, T.task_id).where(R.id == T.dag_run_id, T.id == new.task_instance_id)
        ).one()
        before = select(T.state).where(
            R.id == T.dag_run_id, R.dag_id == "past", R.logical_date < row.logical_date, T.task_id == row.task_id
        )
        if row.dag_id == "past" and set(connection.scalars(before)) - {"success"}:
            found.append(f"{row.task_id} of {row.logical_date}")
    return found


def work(service: SchedulerService, executor: ScriptedExecutor, is_over: threading.Event) -> None:
    """What the thread of a scheduler does; each task ends in the pass after the one that began it."""
    while not is_over.is_set():
        service._listener.called = True
        service.run_once()
        for held in list(executor.held.values())[:2]:
            executor.finish(held.task_id, run_id=held.run_id)


def test_two_schedulers_at_once_exceed_nothing_while_a_pool_is_resized(mill, monkeypatch: pytest.MonkeyPatch) -> None:
    mill.db.write(lambda c: c.execute(insert(tables.pool).values(name="p", slots=3)))
    for dag_id in ("d", "e", "past"):
        with DAG(dag_id, schedule=None, max_active_tasks=2, max_active_runs=2) as dag:
            for number in range(4):
                depends = {"depends_on_past": dag_id == "past", "max_active_tis_per_dag": 1}
                BashOperator(task_id=f"t{number}", bash_command="true", pool="p", **depends)
        mill.add(dag)
        for number in range(3):
            mill.clock.advance(1)
            trigger_run(mill.db, mill.clock, dag_id, actor="test", run_id=f"r{number}")
    wrong: list[str] = []
    plain_create = admit.create_attempts

    def create(connection: Any, attempts: Any) -> None:
        plain_create(connection, attempts)
        wrong.extend(over_the_limit(connection, {new.pool for new in attempts}) + too_early(connection, attempts))

    monkeypatch.setattr(admit, "create_attempts", create)
    is_over = threading.Event()
    with ThreadPoolExecutor() as threads:
        workers = []
        for name in ("one", "two"):
            executor = ScriptedExecutor(mill.clock, supervisor_id=name, slots=3)
            database = mill.open_database()
            service = SchedulerService(database, mill.clock, mill.settings, {"scripted": executor}, SilentListener())
            mill.services.append(service)
            service.start()
            workers.append(threads.submit(work, service, executor, is_over))
        wrong += resize_until_done(mill, workers)
        is_over.set()
    assert [worker.result() for worker in workers] == [None, None]
    assert wrong == []
    assert mill.db.read(lambda c: c.execute(UNFINISHED).scalar_one()) == 0
    assert mill.db.read(lambda c: c.execute(select(func.count()).select_from(tables.attempt)).scalar_one()) == 36


UNFINISHED = select(func.count()).where(R.state.in_(["queued", "running"]))
RUNNING = select(R.dag_id, func.count()).where(R.state == RunState.RUNNING).group_by(R.dag_id)


def resize_until_done(mill: Any, workers: list[Future[None]]) -> list[str]:
    """Make the pool larger and smaller until all runs are over; returns the DAGs that had too many runs going."""
    wrong: list[str] = []
    for number in range(5000):
        size = number % 4
        mill.db.write(lambda c, size=size: c.execute(update(tables.pool).where(P.name == "p").values(slots=size)))
        wrong += [f"runs of {dag}: {n}" for dag, n in mill.db.read(lambda c: c.execute(RUNNING).all()) if n > 2]
        if any(worker.done() for worker in workers) or not mill.db.read(lambda c: c.execute(UNFINISHED).scalar_one()):
            break
    return wrong
