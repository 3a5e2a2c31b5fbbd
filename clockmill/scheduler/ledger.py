"""What every limit has left, as one scheduler knows it while it admits.

It is opened after the pools are locked, so nobody else admits until this transaction is over: what is in use can only
become less, and what is admitted here is added in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from clockmill.state import Candidate, LimitKey, LimitKind, Refusal, level_of
from clockmill.state.admission import first_full
from clockmill.state.packing import Ask
from clockmill.state.resources import from_text
from clockmill.storage.admission import Full, ReadyTask
from clockmill.storage.attempts import LiveTask, live_tasks, usage
from clockmill.storage.engine import Connection
from clockmill.storage.offers import QueueRoom
from clockmill.storage.pools import lock_pools
from clockmill.storage.triggers import deferred_usage


class Ledger:
    """The limits of all tasks, held.

    :param executors: the free slots of each executor; the first is the default.
    :param aside: runs that cannot be worked on.
    :param queues: how many more may be offered to the workers of each queue, of the executors that have workers.
    """

    def __init__(
        self,
        connection: Connection,
        executors: Mapping[str, int],
        aside: Iterable[int],
        queues: Mapping[str, QueueRoom],
    ) -> None:
        self._connection = connection
        self._default = next(iter(executors))
        self._executors = executors
        self._queues = queues
        self._pools = lock_pools(connection)
        self._used = Counter(usage(connection))
        if any(limit.include_deferred for limit in self._pools.values()):
            for name, slots in deferred_usage(connection).items():
                self._used[LimitKey(LimitKind.POOL, name)] += slots
        self._by_task = False
        self._aside = set(aside)
        self._was_refused: set[LimitKey] = set()
        self._runs: dict[int, int] = {}
        self._caps: dict[LimitKey, int] = {}
        self._pairs: dict[LimitKey, tuple[LiveTask | ReadyTask, LimitKind]] = {}

    @property
    def used(self) -> Mapping[LimitKey, int]:
        """How much of each limit is in use."""
        return self._used

    # --- what is asked ----------------------------------------------------------------------------------------------

    def candidates(self, ready: Collection[ReadyTask]) -> list[Candidate]:
        """What these tasks claim, in their order."""
        if any(task.max_active_per_dag or task.max_active_per_run for task in ready):
            self._count_tasks()
        return [self._candidate(task) for task in ready]

    def limits(self, ready: Iterable[ReadyTask]) -> dict[LimitKey, int]:
        """How much there is of the limits that these tasks share; a pool or executor that is not there has nothing."""
        totals = {}
        for task in ready:
            pool = self._pools.get(task.pool)
            totals[LimitKey(LimitKind.POOL, task.pool)] = 0 if pool is None else pool.slots
            totals[_run_key(task)] = task.max_active_tasks
            name = task.executor or self._default
            totals[LimitKey(LimitKind.EXECUTOR, name)] = self._executors.get(name, 0)
            if name in self._queues:
                totals[_queue_key(name, task.queue)] = self._queues[name].of(task.queue)
        return totals

    def lacking_nothing_else(self, tasks: Collection[ReadyTask]) -> set[str]:
        """The idents of the asks of those of these tasks that would start if they asked for no resources."""
        limits = self.limits(tasks)
        return {str(each.ident) for each in self.candidates(tasks) if first_full(each, limits, self._used) is None}

    def _candidate(self, task: ReadyTask) -> Candidate:
        name = task.executor or self._default
        claims = {
            LimitKey(LimitKind.POOL, task.pool): task.pool_slots,
            _run_key(task): 1,
            LimitKey(LimitKind.EXECUTOR, name): 1,
        }
        if name in self._queues:
            claims[_queue_key(name, task.queue)] = 1
        caps = {}
        if self._by_task:
            for kind, limit in _task_limits(task):
                claims[_task_key(task, kind)] = 1
                if limit is not None:
                    caps[_task_key(task, kind)] = limit
        ask = None if task.resources is None else ask_of(task, name)
        return Candidate(ident=task.id, claims=claims, caps=caps, ask=ask, executor=name)

    # --- what is taken ----------------------------------------------------------------------------------------------

    def take(self, candidates: Iterable[Candidate], admitted: Collection[int]) -> None:
        """Count what was admitted."""
        chosen = set(admitted)
        for candidate in candidates:
            if candidate.ident in chosen:
                self._used.update(candidate.claims)

    # --- what is full -----------------------------------------------------------------------------------------------

    def refuse(self, ready: Iterable[ReadyTask], refusals: Iterable[Refusal]) -> None:
        """Remember which limits were full for some of these tasks."""
        for refusal in refusals:
            self._was_refused.add(refusal.limit)
        for task in ready:
            self._note(task)

    def leave(self, run_ids: Iterable[int]) -> None:
        """Leave runs alone from now on, because somebody else holds them."""
        self._aside.update(run_ids)

    def full(self) -> Full:
        """Every limit that has no room left."""
        self._count_tasks()
        full = Full(runs=set(self._aside))
        for name, limit in self._pools.items():
            key = LimitKey(LimitKind.POOL, name)
            left = limit.slots - self._used[key]
            if left <= 0 or key in self._was_refused:
                full.pools[name] = max(left, 0)
        for key in self._was_refused:
            if key.kind is LimitKind.POOL and key.name not in self._pools:
                full.pools[key.name] = 0
        full.runs.update(ident for ident, most in self._runs.items() if self._used[_run_limit(ident)] >= most)
        full.open_executors = self._open_executors()
        full.queues = full_queues(self._queues, self._default, self._used)
        self._add_full_tasks(full)
        return full

    def _open_executors(self) -> frozenset[str] | None:
        def left(name: str) -> int:
            return self._executors[name] - self._used[LimitKey(LimitKind.EXECUTOR, name)]

        names = {name for name in self._executors if left(name) > 0}
        was_refused = any(key.kind is LimitKind.EXECUTOR for key in self._was_refused)
        if len(names) == len(self._executors) and not was_refused:
            return None
        return frozenset(names | ({""} if self._default in names else set()))

    def _add_full_tasks(self, full: Full) -> None:
        for key, (task, kind) in self._pairs.items():
            if self._used[key] < self._caps[key]:
                continue
            if kind is LimitKind.DAG_TASK:
                full.dag_tasks[task.dag_id, task.task_id] = self._used[key]
            else:
                full.run_tasks[task.dag_run_id, task.task_id] = self._used[key]

    def _count_tasks(self) -> None:
        """Count the live instances of each task, once: only tasks that have such a limit pay for it."""
        if self._by_task:
            return
        self._by_task = True
        for task in live_tasks(self._connection):
            for kind, _ in _task_limits(task):
                self._used[_task_key(task, kind)] += 1
            self._note(task)

    def _note(self, task: LiveTask | ReadyTask) -> None:
        self._runs[task.dag_run_id] = task.max_active_tasks
        for kind, limit in _task_limits(task):
            if limit is not None:
                key = _task_key(task, kind)
                self._caps[key] = min(limit, self._caps.get(key, limit))
                self._pairs[key] = (task, kind)


def ask_of(task: ReadyTask, executor: str) -> Ask:
    """What a task asks for."""
    return Ask(executor, task.queue, from_text(task.resources), level_of(task), str(task.id))


def full_queues(
    queues: Mapping[str, QueueRoom], default: str, used: Mapping[LimitKey, int]
) -> frozenset[tuple[str, str]]:
    """The queues to which nothing more is offered, each with its executor, which is empty too for the default."""
    known = {(name, queue) for name, room in queues.items() for queue in room.known}
    taken_from = {_queue_of(key) for key in used if key.kind is LimitKind.QUEUE}
    full = {
        (name, queue)
        for name, queue in known | taken_from
        if used.get(_queue_key(name, queue), 0) >= queues[name].of(queue)
    }
    return frozenset(full | {("", queue) for name, queue in full if name == default})


def _queue_key(executor: str, queue: str) -> LimitKey:
    return LimitKey(LimitKind.QUEUE, f"{executor} {queue}")  # no name of an executor has a space in it


def _queue_of(key: LimitKey) -> tuple[str, str]:
    executor, _, queue = key.name.partition(" ")
    return executor, queue


def _run_limit(dag_run_id: int) -> LimitKey:
    return LimitKey(LimitKind.RUN_TASKS, str(dag_run_id))


def _run_key(task: ReadyTask) -> LimitKey:
    return _run_limit(task.dag_run_id)


def _task_limits(task: LiveTask | ReadyTask) -> tuple[tuple[LimitKind, int | None], ...]:
    return (LimitKind.DAG_TASK, task.max_active_per_dag), (LimitKind.RUN_TASK, task.max_active_per_run)


def _task_key(task: LiveTask | ReadyTask, kind: LimitKind) -> LimitKey:
    owner = task.dag_id if kind is LimitKind.DAG_TASK else task.dag_run_id
    return LimitKey(kind, f"{owner} {task.task_id}")  # no id has a space in it
