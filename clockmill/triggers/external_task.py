"""Triggers that wait for runs of other DAGs, and for tasks in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from clockmill.clock import iso
from clockmill.protocols import StatesQuery, StatesSeen
from clockmill.state import RunState, TaskState
from clockmill.triggers.base import BaseTrigger, TriggerEvent
from clockmill.triggers.reads import current_reads


class Verdict(StrEnum):
    """What the states of runs and tasks mean to the task that waits for them."""

    WAIT = "wait"
    SUCCESS = "success"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The states that decide; of runs when the query names no tasks, else of tasks.

    :param allowed: what all of them must come to.
    :param skipped: one of them in such a state is enough to be skipped.
    :param failed: one of them in such a state is enough to fail.
    """

    allowed: Collection[str]
    skipped: Collection[str] = ()
    failed: Collection[str] = ()

    def judge(self, query: StatesQuery, seen: StatesSeen) -> Verdict:
        """What has been seen means. A run or task that is not there is waited for."""
        counts = [_counts(query, run) for run in seen.runs]
        states = {state for of_run in counts for task in of_run for state, number in task.items() if number}
        if states & set(self.failed):
            return Verdict.FAILED
        if states & set(self.skipped):
            return Verdict.SKIPPED
        wanted = len(set(query.run_ids if query.run_ids is not None else query.logical_dates or ()))
        is_all = len(counts) >= wanted and all(of_run and all(of_run) for of_run in counts)
        return Verdict.SUCCESS if wanted and is_all and states <= set(self.allowed) else Verdict.WAIT


def _counts(query: StatesQuery, run: dict[str, Any]) -> list[dict[str, int]]:
    """For each thing that is waited for in a run, how many of it are in which state."""
    if not query.task_ids and not query.group_id:
        return [{run["state"]: 1}]
    tasks: dict[str, dict[str, int]] = run["tasks"]
    missing: list[dict[str, int]] = [{} for name in query.task_ids or () if name not in tasks]
    return [*tasks.values(), *missing]


class WorkflowTrigger(BaseTrigger):
    """Fires when runs of a DAG, or tasks in them, have come to the end that is waited for.

    The event has the ``status``: ``success``, ``failed`` or ``skipped``.

    :param external_dag_id: the DAG.
    :param run_ids: the runs; or by ``logical_dates``.
    :param external_task_ids: the tasks to wait for; the runs themselves when neither they nor a group are given.
    :param external_task_group_id: a group, for all of its tasks.
    :param allowed_states: what all of them must come to; ``success`` by default.
    :param failed_states: one of them in such a state fires with ``failed``; likewise ``skipped_states``.
    :param poke_interval: seconds between two looks.
    """

    def __init__(
        self,
        external_dag_id: str,
        run_ids: list[str] | None = None,
        logical_dates: list[datetime] | None = None,
        external_task_ids: list[str] | None = None,
        external_task_group_id: str | None = None,
        allowed_states: list[str] | None = None,
        failed_states: list[str] | None = None,
        skipped_states: list[str] | None = None,
        poke_interval: float = 2.0,
    ) -> None:
        self.external_dag_id = external_dag_id
        self.run_ids = run_ids
        self.logical_dates = logical_dates
        self.external_task_ids = external_task_ids
        self.external_task_group_id = external_task_group_id
        self.allowed_states = allowed_states or [TaskState.SUCCESS.value]
        self.failed_states = failed_states or []
        self.skipped_states = skipped_states or []
        self.poke_interval = poke_interval

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is decided."""
        import asyncio

        query = StatesQuery(
            dag_id=self.external_dag_id,
            run_ids=self.run_ids,
            logical_dates=None if self.logical_dates is None else [iso(date) for date in self.logical_dates],
            task_ids=self.external_task_ids,
            group_id=self.external_task_group_id,
        )
        expected = Expected(allowed=self.allowed_states, skipped=self.skipped_states, failed=self.failed_states)
        while (verdict := expected.judge(query, await current_reads().get_states(query))) is Verdict.WAIT:
            await asyncio.sleep(self.poke_interval)
        yield TriggerEvent({"status": verdict.value})


class DagStateTrigger(BaseTrigger):
    """Fires when each of the runs is in one of the states; the event says in which: run id -> state.

    :param dag_id: the DAG.
    :param states: the states to wait for; those of a finished run by default.
    :param run_ids: the runs; or by ``logical_dates``.
    :param poll_interval: seconds between two looks.
    """

    def __init__(
        self,
        dag_id: str,
        states: list[str] | None = None,
        run_ids: list[str] | None = None,
        logical_dates: list[datetime] | None = None,
        poll_interval: float = 5.0,
    ) -> None:
        self.dag_id = dag_id
        self.states = states or [RunState.SUCCESS.value, RunState.FAILED.value]
        self.run_ids = run_ids
        self.logical_dates = logical_dates
        self.poll_interval = poll_interval

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until they are."""
        import asyncio

        dates = None if self.logical_dates is None else [iso(date) for date in self.logical_dates]
        query = StatesQuery(dag_id=self.dag_id, run_ids=self.run_ids, logical_dates=dates)
        expected = Expected(allowed=self.states)
        seen = await current_reads().get_states(query)
        while expected.judge(query, seen) is Verdict.WAIT:
            await asyncio.sleep(self.poll_interval)
            seen = await current_reads().get_states(query)
        yield TriggerEvent({run["run_id"]: run["state"] for run in seen.runs})
