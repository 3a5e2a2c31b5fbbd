"""Ten thousand tasks of top priority that are blocked hold back nobody: one look passes all of them by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from sqlalchemy import event, insert, select

from clockmill import DAG
from clockmill.actions.trigger import trigger_run
from clockmill.operators.bash import BashOperator
from clockmill.scheduler.service import SchedulerService
from clockmill.storage import tables
from clockmill.testing.executor import ScriptedExecutor

RUNS, WIDTH = 100, 100
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Crowd:
    """Runs of one DAG whose tasks are all scheduled, put straight into the tables."""

    first = 10_000

    def __init__(self, mill) -> None:
        self._mill = mill
        self._ids = count(self.first)

    def fill(self, *, max_active_tasks: int = 100, **task: Any) -> None:
        names = [{"task_id": f"t{number}"} for number in range(WIDTH)]
        with DAG("crowd", schedule=None) as dag:
            for name in names:
                BashOperator(**name, bash_command="true")
        self._mill.add(dag)
        self._mill.db.write(lambda c: self._insert(c, max_active_tasks, [{**name, **task} for name in names]))

    def fill_mapped(self, **task: Any) -> None:
        names = [{"task_id": "t", "map_index": number, "item": number} for number in range(WIDTH)]
        with DAG("crowd", schedule=None) as dag:
            BashOperator.partial(task_id="t").expand(bash_command=["true"] * WIDTH)
        self._mill.add(dag)
        self._mill.db.write(lambda c: self._insert(c, WIDTH, [{**name, **task} for name in names]))

    def _insert(self, c: Any, max_active_tasks: int, names: list[dict[str, Any]]) -> None:
        version = c.execute(select(tables.dag.c.version_id).where(tables.dag.c.dag_id == "crowd")).scalar_one()
        ids = [next(self._ids) for _ in range(RUNS)]
        moments = {"run_after": NOW, "queued_at": NOW, "start_date": NOW}
        same = {"dag_id": "crowd", "version_id": version, "state": "running", "run_type": "manual", "conf": {}}
        limit = {"max_active_tasks": max_active_tasks}
        c.execute(insert(tables.dag_run), [{"id": i, "run_id": f"r{i}", **same, **moments, **limit} for i in ids])
        ready = {"state": "scheduled", "try_number": 1, "priority": 1000}
        tasks = [{"dag_run_id": i, **name, **ready} for i in ids for name in names]
        c.execute(insert(tables.task_instance), tasks)

    def hold(self, *which: Any) -> None:
        """Let some of the tasks run, by attempts that somebody else looks after."""
        attempt = {"state": "running", "token": "t", "executor": "other", "pool": "elsewhere", "pool_slots": 1}

        def work(c: Any) -> None:
            rows = c.execute(
                tables.task_instance.update()
                .where(*which)
                .values(state="running")
                .returning(tables.task_instance.c.id, tables.task_instance.c.dag_run_id)
            ).all()
            for task, run in rows:
                place = {"id": f"a{task}", "task_instance_id": task, "dag_run_id": run, "try_number": 1}
                c.execute(insert(tables.attempt).values(**place, **attempt, queued_at=NOW, claimed_at=NOW))

        self._mill.db.write(work)


def blocked_by_a_pool(crowd: Crowd) -> None:
    crowd.fill(pool="nowhere")


def blocked_by_their_slots(crowd: Crowd) -> None:
    crowd.fill(pool_slots=1_000_000)


def blocked_by_their_runs(crowd: Crowd) -> None:
    crowd.fill(max_active_tasks=1)
    crowd.hold(tables.task_instance.c.task_id == "t0")


def blocked_by_their_tasks(crowd: Crowd) -> None:
    crowd.fill(max_active_per_dag=1)
    crowd.hold(tables.task_instance.c.dag_run_id == crowd.first)


def blocked_by_their_task_in_each_run(crowd: Crowd) -> None:
    crowd.fill_mapped(max_active_per_run=1)
    crowd.hold(tables.task_instance.c.map_index == 0)


def blocked_by_their_executor(crowd: Crowd) -> None:
    crowd.fill(executor="busy")


KINDS = [
    blocked_by_a_pool,
    blocked_by_their_slots,
    blocked_by_their_runs,
    blocked_by_their_tasks,
    blocked_by_their_task_in_each_run,
    blocked_by_their_executor,
]


@contextmanager
def statements(service: SchedulerService) -> Iterator[list[str]]:
    sent: list[str] = []
    engine = service._space.database.engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("block", KINDS, ids=lambda block: block.__name__)
def test_a_ready_task_starts_at_once_behind_ten_thousand_that_are_blocked(mill, block: Callable[[Crowd], None]) -> None:
    busy = ScriptedExecutor(mill.clock, slots=0, supervisor_id="busy")
    mill.service = SchedulerService(
        mill.open_database(), mill.clock, mill.settings, {"scripted": mill.executor, "busy": busy}, mill.listener
    )
    mill.services.append(mill.service)
    mill.service.start()
    block(Crowd(mill))
    mill.pump()
    assert mill.executor.running() == []
    with DAG("small", schedule=None) as dag:
        BashOperator(task_id="now", bash_command="true")
    mill.add(dag)
    trigger_run(mill.db, mill.clock, "small", actor="test")
    with statements(mill.service) as sent:
        mill.listener.called = True
        mill.service.run_once()
    assert mill.executor.running() == ["now"]
    looks = [statement for statement in sent if "ORDER BY task_instance.lane" in statement]
    assert len(looks) <= 2 + 4  # what nobody knew to be full is found in a look that went from run to run
    assert len(sent) < 60
