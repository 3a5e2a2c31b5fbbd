"""Random DAGs under random ticks, ends, crashes, clears, marks and resizes: what must hold after each of them.

The scheduler is real, and so are its databases; the executors do what the example says. Every step lets all schedulers
come to rest before it looks.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import MetaData, delete, insert, select

from clockmill import DAG
from clockmill.actions.change import apply, preview
from clockmill.actions.clear import Clear
from clockmill.actions.dags import set_paused
from clockmill.actions.mark import MarkTasks
from clockmill.actions.mark_runs import MarkRuns, StopRuns
from clockmill.actions.rerun import Rerun
from clockmill.actions.selection import RunSelection, TaskSelection
from clockmill.clock import iso
from clockmill.config import Settings
from clockmill.operators.python import PythonOperator
from clockmill.scheduler.service import SchedulerService
from clockmill.state import (
    FINISHED_RUN_STATES,
    FINISHED_TASK_STATES,
    LIVE_ATTEMPT_STATES,
    MARKS,
    Decision,
    RunState,
    TaskState,
    TriggerRule,
    UpstreamCounts,
    judge,
)
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.storage.pools import Pool, set_pools
from clockmill.storage.triggers import Fired, claim_triggers, fire
from clockmill.testing.clock import FakeClock
from clockmill.testing.executor import ScriptedExecutor
from tests.mill import Mill, SilentListener

START = datetime(2026, 1, 1, tzinfo=UTC)
HOLDING = {TaskState.QUEUED, TaskState.RUNNING}
MOST_ROUNDS = 60


# --- what is drawn --------------------------------------------------------------------------------------------------


def nothing(*_: Any) -> None:
    """What no task of these tests ever runs."""


@dataclass(frozen=True)
class TaskPlan:
    """One random task."""

    upstream: tuple[int, ...]
    rule: TriggerRule
    retries: int
    small_pool: bool
    mapped: str
    limit: int | None
    depends_on_past: bool


@st.composite
def task_plans(draw: st.DrawFn) -> list[TaskPlan]:
    """A few tasks; each may come after those before it."""
    plans = []
    for number in range(draw(st.integers(1, 5))):
        upstream = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        plans.append(
            TaskPlan(
                upstream=tuple(sorted(upstream)),
                rule=draw(st.sampled_from(TriggerRule)),
                retries=draw(st.integers(0, 1)),
                small_pool=draw(st.booleans()),
                mapped=draw(st.sampled_from(["", "", "", "literal", "xcom"])) if upstream else "",
                limit=draw(st.sampled_from([None, None, 1])),
                depends_on_past=draw(st.integers(0, 7)) == 0,
            )
        )
    return plans


def dag_of(plans: list[TaskPlan], *, max_active_runs: int, max_active_tasks: int, fail_fast: bool) -> DAG:
    """The DAG of these tasks, due every hour."""
    dag = DAG(
        "d",
        schedule="@hourly",
        start_date=START,
        catchup=True,
        max_active_runs=max_active_runs,
        max_active_tasks=max_active_tasks,
        fail_fast=fail_fast,
    )
    with dag:
        made: list[Any] = []
        for number, plan in enumerate(plans):
            arguments: dict[str, Any] = {
                "task_id": f"t{number}",
                "python_callable": nothing,
                "trigger_rule": plan.rule,
                "retries": plan.retries,
                "retry_delay": timedelta(minutes=10),
                "pool": "small" if plan.small_pool else "default_pool",
                "max_active_tis_per_dag": plan.limit,
                "depends_on_past": plan.depends_on_past,
            }
            if plan.mapped:
                values = made[plan.upstream[0]].output if plan.mapped == "xcom" else [[1], [2]]
                made.append(PythonOperator.partial(**arguments).expand(op_args=values))
            else:
                made.append(PythonOperator(**arguments))
            for above in plan.upstream:
                made[above] >> made[number]
    return dag


# --- the world ------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """One or two schedulers over one database."""

    mill: Mill
    executors: list[ScriptedExecutor]
    services: list[SchedulerService]
    listeners: list[SilentListener]
    marked: set[str] = field(default_factory=set)
    pool_allows: int = 2

    def pump(self) -> None:
        """Let all schedulers work until none has anything more to do."""
        for _ in range(MOST_ROUNDS):
            busy = False
            for service, listener in zip(self.services, self.listeners, strict=True):
                listener.called = True
                for _ in range(200):
                    if not service.run_once():
                        break
                    busy = True
                else:
                    raise AssertionError("a scheduler does not come to rest")
            busy |= any(executor.has_news for executor in self.executors)
            if not busy:
                return
        raise AssertionError("the schedulers keep each other awake")

    def held(self) -> list[tuple[ScriptedExecutor, Any]]:
        """Every attempt that an executor has."""
        return [(executor, workload) for executor in self.executors for workload in executor.held.values()]

    def rows(self, table: Any) -> list[Any]:
        """All rows of a table, by key."""
        statement = select(table).order_by(*table.primary_key.columns)
        return self.mill.db.read(lambda c: list(c.execute(statement)))


def emptied(database: Database) -> None:
    """Take everything out of a database."""
    metadata: MetaData = tables.metadata

    def work(connection: Any) -> None:
        connection.execute(tables.dag.update().values(version_id=None))
        for table in reversed(metadata.sorted_tables):
            if table.name != "alembic_version":
                connection.execute(delete(table))
        connection.execute(insert(tables.pool).values(name="default_pool", slots=128))

    database.write(work)


class Events(RuleBasedStateMachine):
    """What may happen, in any order."""

    make_world: Callable[[bool], World]

    @initialize(
        plans=task_plans(),
        runs=st.integers(1, 3),
        tasks=st.integers(1, 4),
        fail_fast=st.integers(0, 4).map(lambda n: n == 0),
        two=st.booleans(),
    )
    def begin(self, plans: list[TaskPlan], runs: int, tasks: int, fail_fast: bool, two: bool) -> None:
        self.plans, self.max_runs, self.max_tasks = plans, runs, tasks
        self.world = type(self).make_world(two)
        self.resize(2)
        self.world.mill.add(dag_of(plans, max_active_runs=runs, max_active_tasks=tasks, fail_fast=fail_fast))
        self.world.pump()

    # --- what happens ---------------------------------------------------------------------------------------------

    @rule(minutes=st.sampled_from([5, 10, 60, 180]))
    def time_passes(self, minutes: int) -> None:
        self.world.mill.clock.advance(minutes * 60)
        self.world.pump()

    @rule(
        data=st.data(),
        outcome=st.sampled_from(["success", "success", "success", "failed", "skipped", "rescheduled", "deferred"]),
    )
    def a_task_ends(self, data: st.DataObject, outcome: str) -> None:
        held = self.world.held()
        if held:
            executor, workload = data.draw(st.sampled_from(held))
            self.end(executor, workload, outcome, length=data.draw(st.integers(0, 3)))
            self.world.pump()

    def end(self, executor: ScriptedExecutor, workload: Any, outcome: str, length: int = 1) -> None:
        report: dict[str, Any] = {}
        if outcome == "success":
            report["xcoms"] = [("return_value", json.dumps([[n] for n in range(length)]))]
        elif outcome == "rescheduled":
            report["look_again_at"] = iso(self.world.mill.clock.now() + timedelta(minutes=5))
        elif outcome == "deferred":
            report["defer"] = {
                "class_path": "x.Y", "kwargs": "{}", "method": "go_on", "method_kwargs": "{}", "timeout": None,
            }  # fmt: skip
        executor.finish(workload.task_id, outcome, run_id=workload.run_id, map_index=workload.map_index, **report)

    @rule()
    def every_trigger_fires(self) -> None:
        self.fire_all()
        self.world.pump()

    def fire_all(self) -> None:
        mill = self.world.mill
        claimed = mill.db.write(lambda c: claim_triggers(c, "triggerer", 100))
        now = mill.clock.now()
        mill.db.write(lambda c: fire(c, "triggerer", [Fired(id=one.id, event="1") for one in claimed], now))

    @rule(number=st.integers(0, 1))
    def a_supervisor_dies(self, number: int) -> None:
        executor = self.world.executors[number % len(self.world.executors)]
        executor.die(f"{executor.info.id}x"[-60:])
        self.world.pump()

    @rule()
    def the_first_scheduler_is_restarted(self) -> None:
        world = self.world
        world.services[0] = world.mill.another(world.executors[0])
        world.listeners[0] = world.mill.listener
        world.pump()

    @rule(slots=st.integers(0, 3))
    def the_pool_is_resized(self, slots: int) -> None:
        self.resize(slots)
        self.world.pump()

    def resize(self, slots: int) -> None:
        mill = self.world.mill
        pool = Pool(name="small", slots=slots)
        mill.db.write(lambda c: set_pools(c, [pool], at=mill.clock.now(), actor="test"))
        self.world.pool_allows = max(slots, self.used("small"))

    @rule(paused=st.booleans())
    def the_dag_is_paused_or_goes_on(self, paused: bool) -> None:
        set_paused(self.world.mill.db, self.world.mill.clock, "d", paused=paused, actor="test")
        self.world.pump()

    @rule(data=st.data(), upstream=st.booleans(), downstream=st.booleans(), only_failed=st.booleans())
    def tasks_are_cleared(self, data: st.DataObject, upstream: bool, downstream: bool, only_failed: bool) -> None:
        if runs := self.some_runs(data):
            name = data.draw(st.sampled_from(range(len(self.plans))))
            tasks = TaskSelection(
                patterns=(f"^t{name}$",), upstream=upstream, downstream=downstream, only_failed=only_failed
            )
            self.change(Clear(runs=runs, tasks=tasks))

    @rule(data=st.data(), state=st.sampled_from(MARKS))
    def tasks_are_marked(self, data: st.DataObject, state: TaskState) -> None:
        if runs := self.some_runs(data):
            name = data.draw(st.sampled_from(range(len(self.plans))))
            self.world.marked.update(runs.run_ids)
            self.change(MarkTasks(runs=runs, tasks=TaskSelection(patterns=(f"^t{name}$",)), state=state))

    @rule(data=st.data(), state=st.sampled_from([*MARKS, None]))
    def runs_are_marked_or_stopped(self, data: st.DataObject, state: TaskState | None) -> None:
        if runs := self.some_runs(data):
            self.world.marked.update(runs.run_ids)
            self.change(StopRuns(runs=runs) if state is None else MarkRuns(runs=runs, state=state))

    @rule(data=st.data(), from_failure=st.booleans())
    def runs_are_run_again(self, data: st.DataObject, from_failure: bool) -> None:
        if runs := self.some_runs(data):
            request = Rerun(runs=runs, from_failure=from_failure)
            shown = self.world.mill.db.read(lambda c: preview(c, request))
            again = {change.row.id for plan in shown.plans for change in plan.tasks}
            assert again >= self.cut_short_in(runs.run_ids), "a rerun leaves out what was cut short"
            self.change(request)

    def cut_short_in(self, run_ids: tuple[str, ...]) -> set[int]:
        chosen = {row.id for row in self.world.rows(tables.dag_run) if row.run_id in run_ids}
        return {row.id for row in self.world.rows(tables.task_instance) if row.cut_short and row.dag_run_id in chosen}

    def some_runs(self, data: st.DataObject) -> RunSelection | None:
        known = [row.run_id for row in self.world.rows(tables.dag_run)]
        if not known:
            return None
        chosen = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True))
        return RunSelection(dag_id="d", run_ids=tuple(chosen))

    def change(self, request: Any) -> None:
        mill = self.world.mill
        shown = mill.db.read(lambda c: preview(c, request))
        apply(mill.db, mill.clock, request, fingerprint=shown.fingerprint, actor="test")
        self.world.pump()

    # --- what must hold -------------------------------------------------------------------------------------------

    def used(self, pool: str) -> int:
        live = [row for row in self.world.rows(tables.attempt) if row.state in LIVE_ATTEMPT_STATES]
        return sum(row.pool_slots for row in live if row.pool == pool)

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        world = self.world
        live = [row for row in world.rows(tables.attempt) if row.state in LIVE_ATTEMPT_STATES]
        used = self.used("small")
        assert used <= world.pool_allows, f"{used} slots of the pool are in use, {world.pool_allows} may be"
        slots = next(row.slots for row in world.rows(tables.pool) if row.name == "small")
        world.pool_allows = max(slots, used)
        by_run = Counter(row.dag_run_id for row in live)
        assert max(by_run.values(), default=0) <= self.max_tasks
        names = {row.id: row.task_id for row in world.rows(tables.task_instance)}
        by_task = Counter(names[row.task_instance_id] for row in live)
        for number, plan in enumerate(self.plans):
            assert plan.limit is None or by_task[f"t{number}"] <= plan.limit
        running = [row for row in world.rows(tables.dag_run) if row.state == RunState.RUNNING]
        assert len(running) <= self.max_runs

    @invariant()
    def each_live_attempt_is_held_once_and_its_task_knows(self) -> None:
        world = self.world
        live = {row.id: row for row in world.rows(tables.attempt) if row.state in LIVE_ATTEMPT_STATES}
        held = [workload.attempt_id for _, workload in world.held()]
        assert sorted(held) == sorted(live), "what the executors hold is not what the rows say"
        by_task = {row.task_instance_id: row for row in live.values()}
        assert len(by_task) == len(live)
        for row in world.rows(tables.task_instance):
            if row.state in HOLDING:
                assert row.id in by_task, f"{row.task_id} is {row.state} without an attempt"
            else:
                assert row.id not in by_task, f"{row.task_id} is {row.state} with an attempt"

    @invariant()
    def values_are_seen_exactly_of_successes(self) -> None:
        states = {row.id: row.state for row in self.world.rows(tables.task_instance)}
        assert all(states[row.task_instance_id] == TaskState.SUCCESS for row in self.world.rows(tables.xcom))

    @invariant()
    def a_trigger_waits_exactly_for_each_deferred_task(self) -> None:
        deferred = {row.id for row in self.world.rows(tables.task_instance) if row.state == TaskState.DEFERRED}
        assert {row.task_instance_id for row in self.world.rows(tables.task_trigger)} == deferred

    @invariant()
    def tries_and_crashes_stay_within_their_budgets(self) -> None:
        for row in self.world.rows(tables.task_instance):
            assert row.try_number <= row.max_tries
            assert row.crashes <= self.world.mill.settings.core.crash_budget + 1

    @invariant()
    def what_is_ended_failed_and_what_was_cut_short_is_over(self) -> None:
        for run in self.world.rows(tables.dag_run):
            assert run.ending is None or run.state != RunState.SUCCESS
        for row in self.world.rows(tables.task_instance):
            assert not row.cut_short or row.state in {TaskState.FAILED, TaskState.SKIPPED}

    @invariant()
    def every_tick_has_exactly_one_run(self) -> None:
        world = self.world
        if any(row.is_paused for row in world.rows(tables.dag)):
            return
        made = [row.logical_date for row in world.rows(tables.dag_run)]
        until = world.mill.clock.now()
        hours = int((until - START).total_seconds() // 3600) + 1
        assert sorted(made) == [START + timedelta(hours=n) for n in range(hours)]

    @invariant()
    def what_may_run_is_not_left_waiting(self) -> None:
        world = self.world
        by_run: dict[int, list[Any]] = {}
        for row in world.rows(tables.task_instance):
            by_run.setdefault(row.dag_run_id, []).append(row)
        for run in world.rows(tables.dag_run):
            if run.state == RunState.RUNNING:
                self.check_running(by_run[run.id])
            elif run.state in FINISHED_RUN_STATES:
                assert all(row.state in FINISHED_TASK_STATES for row in by_run[run.id])

    def check_running(self, rows: list[Any]) -> None:
        assert any(row.state not in FINISHED_TASK_STATES for row in rows), "the run is over and goes on"
        states: dict[str, list[str]] = {}
        left_out = {name for row in rows for name in row.leaves_out or ()}
        for row in rows:
            states.setdefault(row.task_id, []).append(row.state)
        for row in rows:
            plan = self.plans[int(row.task_id[1:])]
            if row.state == TaskState.NONE and not plan.depends_on_past and row.task_id not in left_out:
                assert self.verdict(plan, states) is Decision.WAIT, f"{row.task_id} waits for nothing: {states}"

    @staticmethod
    def verdict(plan: TaskPlan, states: dict[str, list[str]]) -> Decision:
        above = [TaskState(state) for number in plan.upstream for state in states[f"t{number}"]]
        counts = UpstreamCounts(total=sum(state is not TaskState.REMOVED for state in above))
        for state in above:
            counts.add(state)
        return judge(plan.rule, counts).decision

    # --- and at the end -------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Once nothing stands in the way of the runs, each of them ends."""
        if not hasattr(self, "world"):
            return
        world = self.world
        set_paused(world.mill.db, world.mill.clock, "d", paused=False, actor="test")
        self.resize(3)
        world.pump()
        due = len(world.rows(tables.dag_run))
        for _ in range(40 + 40 * due):
            runs = world.rows(tables.dag_run)[:due]
            if all(row.state in FINISHED_RUN_STATES for row in runs):
                break
            held = world.held()
            for executor, workload in held:
                self.end(executor, workload, "success")
            self.fire_all()
            if not held:
                world.mill.clock.advance(600)
                self.mend_the_past()
            world.pump()
        else:
            raise AssertionError(f"runs do not end: {[(row.run_id, row.state) for row in runs]}")
        for service in world.services:
            assert not service._advance.aside
        for service in world.mill.services:
            service.close()
        world.mill.services.clear()

    def mend_the_past(self) -> None:
        """Run again what failed, in runs that succeeded all the same too: the next run's tasks may depend on it."""
        over = [row.run_id for row in self.world.rows(tables.dag_run) if row.state in FINISHED_RUN_STATES]
        if over and any(plan.depends_on_past for plan in self.plans):
            runs = RunSelection(dag_id="d", run_ids=tuple(over))
            self.change(Clear(runs=runs, tasks=TaskSelection(only_failed=True)))


@pytest.fixture
def worlds(open_database: Callable[[], Database], tmp_path: Path) -> Iterator[Callable[[bool], World]]:
    """Makes worlds over one database, each empty at first."""
    shared = open_database()

    def make(two: bool) -> World:
        emptied(shared)
        clock = FakeClock(START)
        first = ScriptedExecutor(clock, slots=4, supervisor_id="one")
        mill = Mill(
            db=shared, clock=clock, settings=Settings(home=tmp_path), executor=first, open_database=lambda: shared
        )
        world = World(mill=mill, executors=[first], services=[mill.service], listeners=[mill.listener])
        if two:
            second = ScriptedExecutor(clock, slots=4, supervisor_id="two")
            world.executors.append(second)
            world.services.append(mill.another(second))
            world.listeners.append(mill.listener)
        return world

    yield make


def test_no_order_of_events_breaks_what_is_promised(worlds: Callable[[bool], World]) -> None:
    machine = type("Machine", (Events,), {"make_world": staticmethod(worlds)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
