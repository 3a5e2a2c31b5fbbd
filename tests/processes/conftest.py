"""A real executor with a real supervisor below it, and ways to wait for what it says."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clockmill.clock import SystemClock
from clockmill.executors.base import ExecutorEvent, Finished, SupervisorDown, SupervisorUp
from clockmill.executors.local import LocalExecutor
from clockmill.executors.setup import ExecutorSetup
from clockmill.executors.subprocess import SubprocessExecutor
from clockmill.ids import new_attempt_id, new_token
from clockmill.protocols import AttemptReport, Workload

PATIENCE = 60.0
KINDS: dict[str, type[LocalExecutor]] = {
    "local": LocalExecutor,
    "reuse": LocalExecutor,
    "subprocess": SubprocessExecutor,
}


class Bench:
    """Submits the functions of a DAG file as attempts and waits for events."""

    def __init__(self, home: Path, kind: str = "local") -> None:
        self.home = home
        self.kind = kind
        self.bundle = home / "bundle"
        self.bundle.mkdir(parents=True)
        self.clock = SystemClock()
        self.executors: list[LocalExecutor] = []
        self.queues: dict[int, deque[ExecutorEvent]] = {}
        self.seen: list[ExecutorEvent] = []
        self.epoch = 0

    def executor(self, **options: Any) -> LocalExecutor:
        """A started executor, as a new scheduler has it."""
        settings: dict[str, Any] = {
            "name": self.kind,
            "run_folder": self.home / "run",
            "home": self.home,
            "slots": 4,
            "gateway": "tests_gateway:open_gateway",
            "gateway_spec": {},
            "orphan_grace": 60.0,
            "max_tasks_per_process": 100 if self.kind == "reuse" else 1,
        }
        executor = KINDS[self.kind](ExecutorSetup(**(settings | options)))
        self.epoch += 1
        executor.start(self.epoch)
        self.executors.append(executor)
        return executor

    def dag_file(self, source: str) -> None:
        """Write the DAG file; its functions are the tasks."""
        lines = [
            source,
            "from clockmill import DAG",
            "from clockmill.operators.python import PythonOperator",
            "with DAG('work', schedule=None) as dag:",
            "    for name, value in list(globals().items()):",
            "        if type(value).__name__ == 'function':",
            "            PythonOperator(task_id=name, python_callable=value)",
        ]
        (self.bundle / "work.py").write_text("\n".join(lines) + "\n")

    def workload(self, task_id: str, **options: Any) -> Workload:
        """An attempt of the function ``task_id``."""
        attempt_id = new_attempt_id()
        log = self.home / "logs" / "work" / "run" / task_id / "-1" / "1.log"
        fields: dict[str, Any] = {
            "attempt_id": attempt_id,
            "token": new_token(),
            "dag_id": "work",
            "run_id": "run",
            "task_id": task_id,
            "bundle": "b1",
            "bundle_path": str(self.bundle),
            "file": "work.py",
            "log_path": str(log),
        }
        return Workload(**(fields | options))

    def wait(
        self, executor: LocalExecutor, until: Callable[[ExecutorEvent], bool], patience: float = PATIENCE
    ) -> ExecutorEvent:
        """Collect events until one satisfies ``until``; fails when none does in time."""
        deadline = self.clock.monotonic() + patience
        queue = self.queues.setdefault(id(executor), deque())
        while self.clock.monotonic() < deadline:
            queue.extend(executor.events())
            while queue:
                event = queue.popleft()
                self.seen.append(event)
                if until(event):
                    return event
            select.select(executor.filenos(), [], [], min(1.0, deadline - self.clock.monotonic()))
        raise AssertionError(f"waited {patience} s in vain; seen: {self.seen}")

    def up(self, executor: LocalExecutor) -> SupervisorUp:
        """Wait until a supervisor is there."""
        event = self.wait(executor, lambda event: isinstance(event, SupervisorUp))
        assert isinstance(event, SupervisorUp)
        return event

    def down(self, executor: LocalExecutor) -> SupervisorDown:
        """Wait until a supervisor is gone; the next one may be there before that, and is left for :meth:`up`."""
        came: list[ExecutorEvent] = []

        def is_down(event: ExecutorEvent) -> bool:
            if isinstance(event, SupervisorUp):
                came.append(event)
            return isinstance(event, SupervisorDown)

        event = self.wait(executor, is_down)
        assert isinstance(event, SupervisorDown)
        self.queues[id(executor)].extendleft(reversed(came))
        return event

    def finished(self, executor: LocalExecutor, workload: Workload) -> AttemptReport:
        """Wait for the report of an attempt."""
        event = self.wait(
            executor, lambda event: isinstance(event, Finished) and event.report.attempt_id == workload.attempt_id
        )
        assert isinstance(event, Finished)
        return event.report

    def finished_before(self, executor: LocalExecutor, workload: Workload) -> AttemptReport:
        """The report of an attempt, which may have been seen already."""
        for event in self.seen:
            if isinstance(event, Finished) and event.report.attempt_id == workload.attempt_id:
                return event.report
        return self.finished(executor, workload)

    def run(self, executor: LocalExecutor, task_id: str, **options: Any) -> AttemptReport:
        """Submit one attempt and wait for its report."""
        workload = self.workload(task_id, **options)
        while not executor.free_slots():
            self.up(executor)
        executor.submit(next(iter(executor.free_slots())), [workload])
        report = self.finished(executor, workload)
        executor.acknowledge([workload.attempt_id])
        return report

    def log(self, task_id: str) -> str:
        """What the log of that task holds."""
        return (self.home / "logs" / "work" / "run" / task_id / "-1" / "1.log").read_text()

    def said(self, task_id: str) -> list[str]:
        """What the task itself printed and logged, without the time stamps."""
        lines = [line.split(" ", 1)[1] for line in self.log(task_id).splitlines()]
        return [line for line in lines if not line.startswith("***") and "Returned value" not in line]

    def close(self) -> None:
        """End every supervisor that is left."""
        queued = [event for queue in self.queues.values() for event in queue]
        known = [e.report.attempt_id for e in [*self.seen, *queued] if isinstance(e, Finished)]
        for executor in [*self.executors, self.executor()]:
            executor.acknowledge(known)
            executor.stop(0.0)
            while executor.is_busy():
                select.select(executor.filenos(), [], [], executor.look_again_in() or 1.0)
                ended = [event.report for event in executor.events() if isinstance(event, Finished)]
                executor.acknowledge([report.attempt_id for report in ended])
            executor.detach()


@pytest.fixture
def kind() -> str:
    """Which executor the bench has; a test that is for several of them overrides it by its parameter."""
    return "local"


@pytest.fixture
def bench(tmp_path: Path, kind: str) -> Iterator[Bench]:
    bench = Bench(tmp_path, kind)
    yield bench
    bench.close()
