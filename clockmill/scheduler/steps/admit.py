"""Give slots to task instances that may run, and make their attempts."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from clockmill.ids import new_attempt_id, new_token
from clockmill.scheduler.steps.workloads import workload_for
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import Effects, Workspace
from clockmill.state import Candidate, LimitKey, LimitKind, RunState, TaskState, admit
from clockmill.storage.admission import ReadyTask, ready_tasks
from clockmill.storage.attempts import usage
from clockmill.storage.engine import Connection
from clockmill.storage.pools import lock_pools
from clockmill.storage.transitions import NewAttempt, create_attempts

#: How many candidates are read for each free slot: some of them will find their limits full.
_LOOK_AHEAD = 2
_MOST_ROUNDS = 20


class Admit:
    """Chooses by priority and age among the task instances whose limits have room."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace

    def apply(self, connection: Connection, effects: Effects, now: datetime, aside: set[int]) -> None:
        """Admit as many task instances as there are free slots; the runs that change are among those held.

        Candidates are read without locks; then their runs are locked, then the pools, and only then is read what is
        in use. Each round leaves out the pools and runs that the one before found full.

        :param aside: runs that cannot be worked on.
        """
        free = {name: executor.free_slots() for name, executor in self._space.executors.items()}
        room = sum(slots for supervisors in free.values() for slots in supervisors.values())
        full_pools: set[str] = set()
        full_runs = set(aside)
        for _ in range(_MOST_ROUNDS):
            if room <= 0:
                return
            ready = ready_tasks(connection, limit=room * _LOOK_AHEAD, full_pools=full_pools, full_runs=full_runs)
            if not ready:
                return
            chosen, refused = self._round(connection, ready, free, effects, now)
            room -= chosen
            if not _note_full(refused, full_pools, full_runs):
                return

    def _round(
        self,
        connection: Connection,
        ready: list[ReadyTask],
        free: dict[str, dict[str, int]],
        effects: Effects,
        now: datetime,
    ) -> tuple[int, list[LimitKey]]:
        """Admit among these; returns how many were, and the limits that were full for the others."""
        views = self._space.views.hold(connection, {task.dag_run_id for task in ready}, skip_locked=True)
        mine = [task for task in ready if _is_ready(views, task)]
        chosen, refused = self._choose(mine, lock_pools(connection), usage(connection), free)
        attempts = [self._offer(views[task.dag_run_id], task, free, effects, now) for task in chosen]
        create_attempts(connection, attempts)
        for ident in {task.dag_run_id for task in chosen}:
            views[ident].aggregate.write_tasks(connection)
        return len(chosen), refused

    def _choose(
        self,
        ready: Collection[ReadyTask],
        pools: dict[str, int],
        in_use: dict[LimitKey, int],
        free: dict[str, dict[str, int]],
    ) -> tuple[list[ReadyTask], list[LimitKey]]:
        # A pool that does not exist has no slots.
        limits = {LimitKey(LimitKind.POOL, task.pool): pools.get(task.pool, 0) for task in ready}
        limits |= {LimitKey(LimitKind.RUN_TASKS, str(task.dag_run_id)): task.max_active_tasks for task in ready}
        for name, supervisors in free.items():
            limits[LimitKey(LimitKind.EXECUTOR, name)] = sum(supervisors.values())
        by_id = {task.id: task for task in ready}
        answer = admit([self._candidate(task) for task in ready], limits, in_use)
        return [by_id[ident] for ident in answer.admitted], [refusal.limit for refusal in answer.refused]

    def _candidate(self, task: ReadyTask) -> Candidate:
        claims = {
            LimitKey(LimitKind.POOL, task.pool): task.pool_slots,
            LimitKey(LimitKind.RUN_TASKS, str(task.dag_run_id)): 1,
            LimitKey(LimitKind.EXECUTOR, task.executor or self._space.default_executor): 1,
        }
        return Candidate(ident=task.id, claims=claims)

    def _offer(
        self, view: RunView, task: ReadyTask, free: dict[str, dict[str, int]], effects: Effects, now: datetime
    ) -> NewAttempt:
        executor = task.executor or self._space.default_executor
        supervisors = free[executor]
        supervisor_id = max(supervisors, key=lambda name: (supervisors[name], name))
        supervisors[supervisor_id] -= 1
        row = view.change(task.key, state=TaskState.RUNNING, reason="")
        attempt = NewAttempt(
            id=new_attempt_id(),
            task_instance_id=row.id,
            dag_run_id=row.dag_run_id,
            try_number=row.try_number,
            token=new_token(),
            executor=executor,
            queue=row.queue,
            supervisor_id=supervisor_id,
            pool=row.pool,
            pool_slots=row.pool_slots,
            queued_at=now,
        )
        workload = workload_for(view, row, attempt.id, attempt.token, now, self._space.settings)
        effects.submit(executor, supervisor_id, workload)
        return attempt


def _is_ready(views: dict[int, RunView], task: ReadyTask) -> bool:
    """Whether a candidate that was read without a lock still is one."""
    view = views.get(task.dag_run_id)
    if view is None or view.run.state is not RunState.RUNNING:
        return False
    return view.task(task.key).state is TaskState.SCHEDULED


def _note_full(refused: list[LimitKey], pools: set[str], runs: set[int]) -> bool:
    """Note the pools and runs that were full; whether one of them was not known to be."""
    known = (len(pools), len(runs))
    for limit in refused:
        if limit.kind is LimitKind.POOL:
            pools.add(limit.name)
        elif limit.kind is LimitKind.RUN_TASKS:
            runs.add(int(limit.name))
    return (len(pools), len(runs)) != known
