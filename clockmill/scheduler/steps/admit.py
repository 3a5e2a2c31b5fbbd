"""Give slots to task instances that may run, and make their attempts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from clockmill.ids import new_attempt_id, new_token
from clockmill.scheduler.asks import Asks
from clockmill.scheduler.ledger import Ledger, full_queues
from clockmill.scheduler.steps.callbacks import Callbacks
from clockmill.scheduler.steps.doorbells import Doorbells
from clockmill.scheduler.steps.workloads import workload_for
from clockmill.scheduler.turns import Turns
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import Effects, Workspace
from clockmill.state import LimitKey, LimitKind, RunState, TaskState, admit
from clockmill.storage.admission import AskKey, Full, ReadyTask
from clockmill.storage.engine import Connection
from clockmill.storage.offers import QueueRoom
from clockmill.storage.transitions import NewAttempt, create_attempts

_MOST_ROUNDS = 20
#: For so many passes after something was refused, what is full is asked for beforehand.
_CAUTIOUS_PASSES = 50

Slots = dict[str, dict[str, int]]


@dataclass(slots=True)
class _Pass:
    """One pass of admission: the transaction and what it has to give away."""

    connection: Connection
    effects: Effects
    now: datetime
    free: Slots
    room: int
    aside: Collection[int]
    asks: Asks
    queues: Mapping[str, QueueRoom]
    ledger: Ledger | None = None

    def open_ledger(self) -> Ledger:
        if self.ledger is None:
            totals = {name: sum(supervisors.values()) for name, supervisors in self.free.items()}
            self.ledger = Ledger(self.connection, totals, self.aside, self.queues)
        return self.ledger

    def full(self) -> Full:
        """Everything that has no room left."""
        full = self.open_ledger().full()
        full.asks = self.asks.in_vain()
        return full


class Admit:
    """Chooses by priority, and by turns of runs, among the task instances whose limits have room.

    After a pass, ``leaves_work`` says whether there may be task instances that only lack a free slot of this scheduler:
    the workers that take offers are those of all schedulers. And ``was_locked_out`` says whether some were passed by
    because somebody else held their runs just then.
    """

    def __init__(self, workspace: Workspace, callbacks: Callbacks, doorbells: Doorbells) -> None:
        self._space = workspace
        self._callbacks = callbacks
        self._doorbells = doorbells
        self._cautious = 0
        self._in_vain: list[AskKey] = []
        self._turns = Turns()
        self._has_own_slots = bool(workspace.executors.keys() - workspace.brokered.keys())
        self.leaves_work = False
        self.was_locked_out = False

    def apply(self, connection: Connection, effects: Effects, now: datetime, aside: Collection[int]) -> bool:
        """Admit as many task instances as there are free slots; the runs that change are among those held.

        Candidates are read without locks; then their runs are locked, then the pools, and only then is read what is
        in use. When that finds a limit full, everything that is full is left out of the next look, so that each look
        finds tasks that have room, however many are blocked before them. Where a recent pass found limits full, this
        one begins with what is full now. A scheduler to which nothing is refused pays nothing for all that.

        :param aside: runs that cannot be worked on.
        :returns: whether there may be more to admit at once.
        """
        queues = self._doorbells.room(connection)
        free = self._space.free_slots()
        free.update({name: {"": each.total} for name, each in queues.items() if each.total > 0})
        self._callbacks.admit(connection, effects, free, now)
        more = self._give_away(connection, effects, now, free, queues, aside)
        self._doorbells.offer(connection, queues, effects, now)
        return more

    def _give_away(
        self,
        connection: Connection,
        effects: Effects,
        now: datetime,
        free: Slots,
        queues: Mapping[str, QueueRoom],
        aside: Collection[int],
    ) -> bool:
        room = sum(slots for supervisors in free.values() for slots in supervisors.values())
        self.leaves_work, self.was_locked_out = room <= 0 and self._has_own_slots, False
        if room <= 0:
            return False
        asks = Asks(connection, self._space.executors, free, self._space.brokered, self._in_vain)
        work = _Pass(connection, effects, now, free, room, aside, asks, queues)
        more = self._share_out(work)
        self._in_vain = asks.to_remember()
        return more

    def _share_out(self, work: _Pass) -> bool:
        room = work.room
        full = self._full_at_first(work)
        self.leaves_work = full is not None and full.open_executors is not None
        for _ in range(_MOST_ROUNDS):
            ready, is_all = self._turns.look(work.connection, work.room, full)
            if not ready:
                return False
            chosen = self._round(work, ready)
            self.leaves_work |= work.room <= 0 and not is_all and self._has_own_slots
            if work.room <= 0 or (is_all and chosen == len(ready)):
                return False
            full = work.full()
        return work.room < room

    def _full_at_first(self, work: _Pass) -> Full | None:
        if self._cautious > 0:
            self._cautious -= 1
            return work.full()
        queues = full_queues(work.queues, self._space.default_executor, {})
        return Full(runs=set(work.aside), queues=queues) if work.aside or queues else None

    def _round(self, work: _Pass, ready: list[ReadyTask]) -> int:
        """Admit among these, and note in the ledger what was in the way of the others; returns how many were."""
        views = self._space.views.hold(work.connection, {task.dag_run_id for task in ready}, skip_locked=True)
        ledger = work.open_ledger()
        mine = {task.id: task for task in ready if _is_ready(views, task)}
        candidates = ledger.candidates(mine.values())
        packing = work.asks.packing_for(mine.values(), ledger)
        answer = admit(candidates, ledger.limits(mine.values()), ledger.used, packing)
        offers = [
            self._offer(views[mine[ident].dag_run_id], mine[ident], work, answer.places.get(ident))
            for ident in answer.admitted
        ]
        create_attempts(work.connection, offers)
        for ident in {offer.dag_run_id for offer in offers}:
            views[ident].aggregate.write_tasks(work.connection)
        ledger.take(candidates, answer.admitted)
        self._turns.served(mine[ident] for ident in answer.admitted)
        locked = {task.dag_run_id for task in ready} - views.keys()
        ledger.leave(locked)
        self.was_locked_out |= bool(locked)
        self.leaves_work |= any(self._lacks_own_slot(refusal.limit) for refusal in answer.refused)
        if any(self._hides_others(refusal.limit) for refusal in answer.refused):
            ledger.refuse(mine.values(), answer.refused)
            self.leaves_work |= work.asks.refuse(mine, answer.refused)
            self._cautious = _CAUTIOUS_PASSES
        work.room -= len(offers)
        return len(offers)

    def _hides_others(self, limit: LimitKey) -> bool:
        """Whether a full limit may stand before tasks that have room.

        The slots of the only executor do not, and queues that are full are known before the first look.
        """
        if limit.kind is LimitKind.QUEUE:
            return False
        return limit.kind is not LimitKind.EXECUTOR or self._space.executors.keys() != {limit.name}

    def _lacks_own_slot(self, limit: LimitKey) -> bool:
        return limit.kind is LimitKind.EXECUTOR and limit.name not in self._space.brokered

    def _offer(self, view: RunView, task: ReadyTask, work: _Pass, place: str | None) -> NewAttempt:
        executor = task.executor or self._space.default_executor
        supervisors = work.free[executor]
        if place is None or place not in supervisors:  # what a worker is expected to claim is still offered to all
            place = max(supervisors, key=lambda name: (supervisors[name], name))
        supervisor_id = place
        supervisors[supervisor_id] -= 1
        state = TaskState.RUNNING if supervisor_id else TaskState.QUEUED
        row = view.change(task.key, state=state, reason="")
        attempt = NewAttempt(
            id=new_attempt_id(),
            task_instance_id=row.id,
            dag_run_id=row.dag_run_id,
            try_number=row.try_number,
            token=new_token(),
            executor=executor,
            queue=row.queue,
            supervisor_id=supervisor_id or None,
            pool=row.pool,
            pool_slots=row.pool_slots,
            resources=row.resources,
            queued_at=work.now,
        )
        elements = self._space.handover.elements(work.connection, view, row)
        workload = workload_for(view, row, attempt.id, attempt.token, self._space.settings, elements)
        work.effects.submit(executor, attempt.supervisor_id, workload)
        return attempt


def _is_ready(views: dict[int, RunView], task: ReadyTask) -> bool:
    """Whether a candidate that was read without a lock still is one."""
    view = views.get(task.dag_run_id)
    if view is None or view.run.state is not RunState.RUNNING:
        return False
    return view.task(task.key).state is TaskState.SCHEDULED
