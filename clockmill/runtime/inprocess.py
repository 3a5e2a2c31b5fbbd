"""A whole DAG in this process: what ``dag.test()`` does.

No service, no database and no waiting between tries. The order of tasks, trigger rules, branches, retries and the
steps of each task are those of a real run, because they are the same code.
"""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from clockmill import serde
from clockmill.clock import Clock, SystemClock, iso, parse_iso_or_none
from clockmill.errors import NotFound
from clockmill.ids import new_attempt_id, new_token
from clockmill.model.dag import DAG
from clockmill.model.operator import BaseOperator
from clockmill.model.param import resolve_params
from clockmill.protocols import AttemptReport, StatesQuery, StatesSeen, Workload
from clockmill.runtime import pipeline
from clockmill.runtime.beyond import states_beyond
from clockmill.runtime.local_values import LocalValues, connections_in, variables_in
from clockmill.state import (
    FAILED_TASK_STATES,
    Backoff,
    Budget,
    Change,
    Graph,
    Outcome,
    Progress,
    RunState,
    TaskKey,
    TaskState,
    after_attempt,
    left_out_by,
)
from clockmill.xcom import RETURN_KEY, decode


@dataclass(kw_only=True)
class TestedTask:
    """A task instance of a finished run.

    :param try_number: the last try; 0 for a task that never ran.
    :param reason: why it is in that state, empty after a success.
    """

    __test__ = False  # no test class, whatever pytest makes of its name

    task_id: str
    map_index: int = -1
    state: TaskState = TaskState.NONE
    try_number: int = 0
    reason: str = ""
    start_date: datetime | None = None
    end_date: datetime | None = None
    xcoms: dict[str, str] = field(default_factory=dict, repr=False)

    def xcom_pull(self, key: str = RETURN_KEY, default: Any = None) -> Any:
        """What the task pushed under ``key``."""
        return decode(self.xcoms[key], allow_classes=True) if key in self.xcoms else default


@dataclass(kw_only=True)
class TestedRun:
    """A finished run of a DAG in this process."""

    __test__ = False

    dag_id: str
    run_id: str
    run_after: datetime
    logical_date: datetime
    conf: dict[str, Any]
    state: RunState = RunState.RUNNING
    tasks: dict[str, TestedTask] = field(default_factory=dict, repr=False)

    def get_task_instances(self) -> list[TestedTask]:
        """The task instances, in the order of the DAG's definition."""
        return list(self.tasks.values())

    def get_task_instance(self, task_id: str) -> TestedTask:
        """The task instance of that task.

        :raises NotFound: when the DAG has no such task.
        """
        if task_id not in self.tasks:
            raise NotFound("task", task_id, self.tasks)
        return self.tasks[task_id]

    def xcom_pull(self, task_id: str, key: str = RETURN_KEY, default: Any = None) -> Any:
        """What a task pushed under ``key``."""
        return self.get_task_instance(task_id).xcom_pull(key, default)


def run_dag(
    dag: DAG,
    *,
    run_after: datetime | None = None,
    logical_date: datetime | None = None,
    run_conf: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    connections: Mapping[str, Any] | None = None,
    variable_file_path: str | Path | None = None,
    conn_file_path: str | Path | None = None,
    mark_success_pattern: str | re.Pattern[str] | None = None,
    clock: Clock | None = None,
) -> TestedRun:
    """Run every task of ``dag`` in this process and return the finished run.

    :param run_after: when the run is due; now by default.
    :param logical_date: the logical date; that of a manual run at ``run_after`` by default.
    :param run_conf: the configuration of the run, which also overrides params.
    :param variables: name -> text, or a value that is stored as JSON. They go before those of the file, and these
        before the environment (``CLOCKMILL_VAR_NAME``).
    :param connections: id -> URI or mapping of fields, in the same order (``CLOCKMILL_CONN_ID``).
    :param variable_file_path: a JSON, YAML or ``.env`` file of variables.
    :param conn_file_path: a JSON, YAML or ``.env`` file of connections.
    :param mark_success_pattern: tasks whose id it matches succeed without being run.
    :raises UsageError: when parameters, variables or connections are not as they must be.
    """
    values = LocalValues(
        {**variables_in(variable_file_path), **(variables or {})},
        {**connections_in(conn_file_path), **(connections or {})},
        os.environ,
    )
    runner = _runner(dag, run_after, logical_date, run_conf, values, clock or SystemClock())
    return runner.work(re.compile(mark_success_pattern) if mark_success_pattern else None)


def render_task(
    dag: DAG,
    task_id: str,
    *,
    run_after: datetime | None = None,
    logical_date: datetime | None = None,
    run_conf: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    connections: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """The template fields of one task, filled in as :func:`run_dag` would; nothing is run.

    :returns: field name -> value.
    :raises NotFound: when there is no such task.
    :raises DagDefinitionError: when a template is wrong.
    :raises UsageError: when parameters, variables or connections are not as they must be.
    """
    values = LocalValues(variables or {}, connections or {}, os.environ)
    return _runner(dag, run_after, logical_date, run_conf, values, clock or SystemClock()).rendered(
        dag.get_task(task_id)
    )


def _runner(
    dag: DAG,
    run_after: datetime | None,
    logical_date: datetime | None,
    run_conf: Mapping[str, Any] | None,
    values: LocalValues,
    clock: Clock,
) -> _Runner:
    """What works off a new manual run of ``dag``."""
    dag.validate()
    conf = dict(run_conf or {})
    params = resolve_params(dag.params, conf)
    due = dag.aware(run_after) or clock.now()
    tick = dag.timetable.manual(due)
    run = TestedRun(
        dag_id=dag.dag_id,
        run_id=f"manual__{iso(due)}",
        run_after=due,
        logical_date=dag.aware(logical_date) or tick.logical_date,
        conf=conf,
        tasks={task.task_id: TestedTask(task_id=task.task_id) for task in dag.tasks},
    )
    told = {
        "run_id": run.run_id,
        "run_type": "manual",
        "logical_date": iso(run.logical_date),
        "data_interval_start": iso(tick.start),
        "data_interval_end": iso(tick.end),
        "run_after": iso(due),
        "start_date": iso(clock.now()),
        "conf": conf,
    }
    context = {"dag_run": told, "params": params, "previous": {}}
    return _Runner(dag, run, context, values, clock)


class _Channel:
    """Answers a task from what the run holds in memory; satisfies :class:`~clockmill.runtime.channel.TaskChannel`."""

    def __init__(self, run: TestedRun, values: LocalValues) -> None:
        self._run = run
        self._values = values

    def get_xcoms(
        self,
        *,
        dag_id: str,
        run_id: str,
        task_ids: list[str] | None,
        key: str,
        map_indexes: list[int] | None,
        include_prior_dates: bool,
    ) -> list[tuple[str, int, str]]:
        if (dag_id, run_id) != (self._run.dag_id, self._run.run_id):
            return []
        return [
            (task.task_id, task.map_index, task.xcoms[key])
            for task in self._run.get_task_instances()
            if key in task.xcoms
            and (task_ids is None or task.task_id in task_ids)
            and (map_indexes is None or task.map_index in map_indexes)
        ]

    def get_variable(self, key: str) -> str | None:
        return self._values.variable(key)

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        return self._values.connection(conn_id)

    def get_states(self, query: StatesQuery) -> StatesSeen:
        return states_beyond(query)

    def started(self, at: str) -> None:
        """Nobody else watches."""


class _Runner:
    """Works a run off, one task at a time."""

    def __init__(
        self,
        dag: DAG,
        run: TestedRun,
        context: dict[str, Any],
        values: LocalValues,
        clock: Clock,
    ) -> None:
        self._dag = dag
        self._run = run
        self._context = context
        self._channel = _Channel(run, values)
        self._marked: re.Pattern[str] | None = None
        self._clock = clock
        self._graph = graph_of(dag)
        self._progress = Progress(self._graph, {})
        self._ready: deque[str] = deque()

    def work(self, marked: re.Pattern[str] | None) -> TestedRun:
        """Run until every task is finished; those whose id ``marked`` matches succeed without being run."""
        self._marked = marked
        self._settle()
        while self._ready:
            task_id = self._ready.popleft()
            report = self._run_task(self._dag.get_task(task_id), self._run.tasks[task_id])
            self._take_in(task_id, report)
            self._settle()
        self._run.state = self._progress.outcome()
        return self._run

    def rendered(self, task: BaseOperator) -> dict[str, Any]:
        """The template fields of a task, filled in."""
        return pipeline.render(
            self._workload(task, 1), load=lambda: self._dag, channel=self._channel, clock=self._clock
        )

    def _settle(self) -> None:
        for change in self._progress.settle():
            if not isinstance(change, Change):
                continue
            instance = self._run.tasks[change.key.task_id]
            instance.state = change.state
            if change.state is TaskState.SCHEDULED:
                self._ready.append(change.key.task_id)
            elif change.state is not TaskState.SUCCESS:
                instance.reason = change.reason

    def _run_task(self, task: BaseOperator, instance: TestedTask) -> AttemptReport | None:
        """Run the tries of one task until it is finished; None when it was only marked."""
        if self._marked and self._marked.search(task.task_id):
            instance.state = TaskState.SUCCESS
            return None
        instance.state = TaskState.SCHEDULED
        while True:
            instance.try_number += 1
            report = self._attempt(task, instance.try_number)
            step = after_attempt(
                Outcome(report.outcome),
                report.reason,
                Budget(try_number=instance.try_number, max_tries=task.retries + 1, crashes=0, crash_budget=0),
                Backoff(),
                no_retry=report.no_retry,
            )
            instance.state, instance.reason = step.state, step.reason
            instance.start_date = parse_iso_or_none(report.started_at)
            instance.end_date = parse_iso_or_none(report.ended_at)
            _say(f"{task.task_id}: try {instance.try_number} {report.outcome} {report.reason}")
            if step.state is not TaskState.UP_FOR_RETRY:
                instance.xcoms = dict(report.xcoms)
                return report

    def _attempt(self, task: BaseOperator, try_number: int) -> AttemptReport:
        workload = self._workload(task, try_number)
        with _environment(ATTEMPT_ID=workload.attempt_id, IDEMPOTENCY_KEY=workload.idempotency_key):
            return pipeline.execute(
                workload, load=lambda: self._dag, channel=self._channel, clock=self._clock, test_mode=True
            )

    def _workload(self, task: BaseOperator, try_number: int) -> Workload:
        limit = task.execution_timeout
        return Workload(
            attempt_id=new_attempt_id(),
            token=new_token(),
            dag_id=self._dag.dag_id,
            run_id=self._run.run_id,
            task_id=task.task_id,
            try_number=try_number,
            bundle="",
            bundle_path="",
            file="",
            log_path="",
            execution_timeout=None if limit is None else limit.total_seconds(),
            context={**self._context, "max_tries": task.retries + 1, "upstream": sorted(task.upstream_task_ids)},
        )

    def _take_in(self, task_id: str, report: AttemptReport | None) -> None:
        state = self._run.tasks[task_id].state
        branch, skips = (report.branch, report.skips) if report else (None, None)
        self._progress.record(TaskKey(task_id), state, left_out_by(self._graph, task_id, branch=branch, skips=skips))
        if self._dag.fail_fast and state in FAILED_TASK_STATES:
            self._skip_the_rest(task_id)

    def _skip_the_rest(self, failed: str) -> None:
        self._ready.clear()
        for task_id, instance in self._run.tasks.items():
            if instance.state in (TaskState.NONE, TaskState.SCHEDULED):
                instance.state, instance.reason = TaskState.SKIPPED, f"fail_fast: task {failed!r} failed"
                self._progress.record(TaskKey(task_id), TaskState.SKIPPED)


def graph_of(dag: DAG) -> Graph:
    """The tasks of ``dag`` as the trigger rules see them."""
    return serde.decode(serde.dumps(serde.encode(dag))).graph()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for the code inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _say(line: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{line.rstrip()}\n")
