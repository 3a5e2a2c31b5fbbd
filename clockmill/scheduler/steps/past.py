"""Runs that wait for the run before them: looked at again exactly when that can let them go on.

The rows alone decide, so nothing is lost when the memory of this is: a scheduler that begins looks at every run. What
is kept here says which runs wait for what. A task of the run before that ends in this scheduler makes the waiting run
due for the next pass, after the commit of this one; what somebody else did is found at each full look, by the revision
of the run before. Two schedulers that work on neighbouring runs at the same moment cannot miss each other: who ends
the task looks at the waiting run after its own commit, under the lock of that run.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from clockmill.scheduler.agenda import Agenda
from clockmill.scheduler.views import RunView, Views
from clockmill.state import GOOD_TASK_STATES, RunEnding, RunState, TaskState
from clockmill.storage.dags import lock_dags
from clockmill.storage.engine import Connection
from clockmill.storage.past import next_running, previous_revisions, queued_before


@dataclass(frozen=True, slots=True)
class _Wait:
    """What a run waits for.

    :param previous: row id of the run before.
    :param revision: of that run, when it was read.
    :param tasks: its tasks that are not done.
    :param queued_in: the DAG, when the run before waits for its own turn.
    """

    previous: int
    revision: int
    tasks: frozenset[str]
    queued_in: str | None


class Past:
    """The runs that wait for the run before them, as one scheduler knows them."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._waiting: dict[int, _Wait] = {}
        self._due: set[int] = set()
        self._looked_at: set[int] = set()
        self._can_swap = False

    def note(self, view: RunView) -> None:
        """Remember what a run waits for, after it was looked at."""
        gate = view.gate
        before = gate.previous if gate is not None else None
        if gate is not None and before is not None and gate.held and view.run.state is RunState.RUNNING:
            tasks = frozenset(name for names in gate.held.values() for name in names)
            queued_in = view.run.dag_id if before.state is RunState.QUEUED else None
            wait = _Wait(before.id, before.revision, tasks, queued_in)
            self._can_swap |= queued_in is not None and self._waiting.get(view.run.id) != wait
            self._waiting[view.run.id] = wait
        else:
            self._waiting.pop(view.run.id, None)

    def due(self, connection: Connection, agenda: Agenda, without: Container[int]) -> set[int]:
        """The runs to look at again in this pass.

        :param without: runs that cannot be worked on.
        """
        due = set(self._due) if agenda.stale or agenda.queued else set()
        if agenda.stale and self._waiting:
            known = previous_revisions(connection, self._waiting)
            due |= {
                ident for ident, wait in self._waiting.items() if known.get(ident) != (wait.previous, wait.revision)
            }
        only = agenda.only
        self._looked_at = {ident for ident in due if ident not in without and (only is None or ident in only)}
        return self._looked_at

    def swaps(self, connection: Connection, agenda: Agenda) -> dict[int, int]:
        """Runs that take a place which a run before them needs: by these, the queued runs to begin in their stead.

        Without this, a run that was cleared would wait for a place in ``max_active_runs`` that a later one keeps while
        it waits for that run.
        """
        waits = {ident: wait.queued_in for ident, wait in self._waiting.items() if wait.queued_in}
        if not waits or not agenda.queued:
            return {}
        lock_dags(connection, set(waits.values()))
        found: dict[int, int] = {}
        for ident in sorted(waits):
            earlier = queued_before(connection, ident)
            if earlier is not None and earlier not in found.values():
                found[ident] = earlier
        return found

    def follow(self, connection: Connection, touched: Iterable[RunView]) -> bool:
        """Note which runs can go on by what this pass changed; whether another pass should follow at once."""
        views = {view.run.id: view for view in touched}
        for ident in self._looked_at - views.keys():  # it was deleted
            self._waiting.pop(ident, None)
        self._due -= self._looked_at
        self._looked_at = set()
        for ident, wait in self._waiting.items():
            if wait.previous in views and _is_done(views[wait.previous], wait.tasks):
                self._due.add(ident)
        links = [view.run.id for view in views.values() if view.plan.past]
        if links:  # another scheduler may have begun the run after one of these a moment ago
            known = self._views.revision
            self._due |= {ident for ident, revision in next_running(connection, links) if known(ident) != revision}
        can_swap, self._can_swap = self._can_swap, False
        return bool(self._due) or can_swap


def give_way(views: Mapping[int, RunView], swaps: Mapping[int, int]) -> list[int]:
    """Send runs that only wait back to the queue; returns the earlier runs that begin in their places."""
    begin = []
    for late, early in swaps.items():
        if late in views and early in views and _is_idle(views[late]) and views[early].run.state is RunState.QUEUED:
            reason = f"gave its place to the earlier run {views[early].run.run_id}"
            changes = {"state": RunState.QUEUED, "start_date": None, "deadline_at": None, "reason": reason}
            views[late].aggregate.change_run(**changes)
            begin.append(early)
    return begin


def _is_idle(view: RunView) -> bool:
    """Whether a run goes and nothing of it does; one that is ended for the next one has no place to give."""
    is_running = view.run.state is RunState.RUNNING and view.run.ending is not RunEnding.OVERLAP
    return is_running and all(view.task(key).state is TaskState.NONE for key in view.unfinished())


def _is_done(view: RunView, task_ids: Iterable[str]) -> bool:
    """Whether one of these tasks does not hold back the next run any more."""
    good = GOOD_TASK_STATES | {TaskState.REMOVED}
    return any(
        all(view.task(key).state in good for key in view.progress.instances_under(task_id, ""))
        for task_id in task_ids
        if task_id in view.plan.graph
    )
