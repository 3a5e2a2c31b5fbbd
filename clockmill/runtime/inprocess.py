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
from datetime import datetime
from pathlib import Path
from typing import Any

from clockmill import serde
from clockmill.clock import Clock, SystemClock, iso, parse_iso_or_none
from clockmill.ids import new_attempt_id, new_token
from clockmill.model.dag import DAG
from clockmill.model.operator import BaseOperator
from clockmill.model.param import resolve_params
from clockmill.protocols import AttemptReport, RunRequest, Workload
from clockmill.runtime import pipeline
from clockmill.runtime.callbacks import make_call
from clockmill.runtime.local_values import LocalValues, connections_in, variables_in
from clockmill.runtime.tested import RunChannel, TestedRun, TestedTask
from clockmill.runtime.waiting import next_attempt
from clockmill.state import (
    FAILED_TASK_STATES,
    UNFINISHED_OUTCOMES,
    Backoff,
    Budget,
    Graph,
    Outcome,
    Progress,
    RunEnding,
    RunState,
    TaskKey,
    TaskState,
    after_attempt,
    left_out_by,
)
from clockmill.state.graph import depth_of
from clockmill.state.steps import Placed
from clockmill.xcom import length


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
        tasks={TaskKey(task.task_id): TestedTask(task_id=task.task_id) for task in dag.tasks},
        order=dag.task_ids,
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
        self._channel = RunChannel(run, values)
        self._marked: re.Pattern[str] | None = None
        self._clock = clock
        self._graph = graph_of(dag)
        self._progress = Progress(self._graph, {})
        self._ready: deque[TaskKey] = deque()

    def work(self, marked: re.Pattern[str] | None) -> TestedRun:
        """Run until every task is finished; those whose id ``marked`` matches succeed without being run."""
        self._marked = marked
        self._settle()
        while self._ready:
            key = self._ready.popleft()
            report = self._run_task(self._dag.get_task(key.task_id), self._run.tasks[key])
            self._take_in(key, report)
            self._settle()
        self._run.state = self._progress.outcome(fail_fast=self._dag.fail_fast)
        self._call_back()
        return self._run

    def rendered(self, task: BaseOperator) -> dict[str, Any]:
        """The template fields of a task, filled in; of a mapped one, those of its first instance."""
        instance = TestedTask(task_id=task.task_id, try_number=1)
        return pipeline.render(
            self._workload(task, instance), load=lambda: self._dag, channel=self._channel, clock=self._clock
        )

    def _settle(self) -> None:
        tasks = self._run.tasks
        for step in self._progress.settle(self._length):
            key = step.key
            if isinstance(step, Placed):
                if step.was is not None:
                    del tasks[step.was]
                tasks[key] = TestedTask(task_id=key.task_id, map_index=key.map_index, scope=key.scope, item=step.item)
                continue
            tasks[key].state = step.state
            if step.state is TaskState.SCHEDULED:
                self._ready.append(key)
            elif step.state is not TaskState.SUCCESS:
                tasks[key].reason = step.reason

    def _length(self, task_id: str, key: str, scope: str) -> int | None:
        """How long the value of a task is, or how many instances gave one when there are several of it."""
        node = self._graph[task_id]
        keys = self._progress.instances_under(task_id, scope)
        texts = [xcoms[key] for each in keys if key in (xcoms := self._run.tasks[each].xcoms)]
        if node.expansion is not None or len(node.groups) > depth_of(scope):
            return len(texts)
        return length(texts[0]) if texts else None

    def _run_task(self, task: BaseOperator, instance: TestedTask) -> AttemptReport | None:
        """Run the tries of one task until it is finished; None when it was only marked."""
        if self._marked and self._marked.search(task.task_id):
            instance.state = TaskState.SUCCESS
            return None
        instance.state = TaskState.SCHEDULED
        while True:
            instance.try_number += 1
            report = self._attempt(task, instance)
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
            instance.label = report.label or instance.label
            _say(f"{instance.name}: try {instance.try_number} {report.outcome} {report.reason}")
            if step.state is not TaskState.UP_FOR_RETRY:
                instance.xcoms = dict(report.xcoms)
                return report

    def _attempt(self, task: BaseOperator, instance: TestedTask) -> AttemptReport:
        workload = self._workload(task, instance)
        while True:
            with _environment(ATTEMPT_ID=workload.attempt_id, IDEMPOTENCY_KEY=workload.idempotency_key):
                report = pipeline.execute(
                    workload, load=lambda: self._dag, channel=self._channel, clock=self._clock, test_mode=True
                )
            self._note_requests(report)
            if Outcome(report.outcome) not in UNFINISHED_OUTCOMES:
                return report
            _say(f"{task.task_id}: try {instance.try_number} {report.outcome} {report.reason}")
            workload = next_attempt(workload, report, self._channel, self._clock)

    def _note_requests(self, report: AttemptReport) -> None:
        for told in report.run_requests:
            request = RunRequest.from_json(told)
            self._run.triggered.append(request)
            _say(f"A run of DAG {request.dag_id} would be made now: {request.run_id}")

    def _workload(self, task: BaseOperator, instance: TestedTask) -> Workload:
        limit = task.execution_timeout
        return Workload(
            attempt_id=new_attempt_id(),
            token=new_token(),
            dag_id=self._dag.dag_id,
            run_id=self._run.run_id,
            task_id=task.task_id,
            map_index=instance.map_index,
            item=instance.item,
            scope=instance.scope,
            try_number=instance.try_number,
            bundle="",
            bundle_path="",
            file="",
            log_path="",
            execution_timeout=None if limit is None else limit.total_seconds(),
            context={**self._context, "max_tries": task.retries + 1},
        )

    def _call_back(self) -> None:
        """Call what the author of the DAG wants called at this end of the run."""
        kind = "on_success_callback" if self._run.state is RunState.SUCCESS else "on_failure_callback"
        if not getattr(self._dag, kind):
            return
        failed = sorted({key.task_id for key, each in self._run.tasks.items() if each.state in FAILED_TASK_STATES})
        reason = f"task_failure: {', '.join(failed)}" if failed else "success"
        workload = Workload(
            attempt_id=new_attempt_id(),
            token=new_token(),
            dag_id=self._dag.dag_id,
            run_id=self._run.run_id,
            task_id="",
            bundle="",
            bundle_path="",
            file="",
            log_path="",
            callback={"id": 0, "kind": kind, "context": {"reason": reason, "failed_tasks": failed}},
            context={**self._context, "dag_run": {**self._context["dag_run"], "state": str(self._run.state)}},
        )
        make_call(workload, load=lambda: self._dag, channel=self._channel, clock=self._clock)

    def _take_in(self, key: TaskKey, report: AttemptReport | None) -> None:
        state = self._run.tasks[key].state
        branch, skips = (report.branch, report.skips) if report else (None, None)
        self._progress.record(key, state, left_out_by(self._graph, key.task_id, branch=branch, skips=skips))
        if self._dag.fail_fast and state is TaskState.FAILED and self._graph[key.task_id].counts_for_run:
            self._skip_the_rest(self._run.tasks[key].name)

    def _skip_the_rest(self, failed: str) -> None:
        """Skip what waits, but for teardowns."""
        self._ready = deque(key for key in self._ready if self._graph[key.task_id].is_teardown)
        for key, instance in self._run.tasks.items():
            is_waiting = instance.state in (TaskState.NONE, TaskState.SCHEDULED)
            if is_waiting and not self._graph[key.task_id].is_teardown:
                instance.state, instance.reason = TaskState.SKIPPED, f"{RunEnding.FAIL_FAST}: {failed!r} failed"
                self._progress.record(key, TaskState.SKIPPED)


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
