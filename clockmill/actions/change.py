"""Change many runs of a DAG at once: first a preview of exactly what changes, then that or nothing.

What a person asks for is a request: :class:`~clockmill.actions.clear.Clear`, :class:`~clockmill.actions.mark.MarkTasks`
and so on. It says for one run, without touching anything, what would become of it. A preview gathers that for all runs;
applying locks the runs in the order of their ids, asks again, and refuses when the answer is another one by then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clockmill.actions.carry_out import carry_out
from clockmill.actions.plan import RunPlan, Scene, scenes
from clockmill.actions.selection import RunSelection
from clockmill.clock import Clock
from clockmill.errors import Conflict, NotFound, UsageError
from clockmill.storage.batches import chunks
from clockmill.storage.bulk import select_runs
from clockmill.storage.engine import Connection, Database
from clockmill.storage.records import RunRow
from clockmill.storage.runs import lock_runs, runs_by_id
from clockmill.storage.versions import dag_state

#: More than so many runs in one transaction would hold everybody else up.
MOST_RUNS = 5_000


class Request(Protocol):
    """Something that a person wants to be done to runs."""

    @property
    def runs(self) -> RunSelection:
        """Which runs it is about."""
        ...

    def plan(self, scene: Scene) -> RunPlan:
        """What would become of one run; an empty plan when nothing would.

        :raises NotFound: when the version of that run has no such task; only if that is so for every run, it counts.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a preview: a task instance, or the run itself when there is no ``task_id``.

    :param state: where it stands.
    :param becomes: what will become of it.
    """

    run_id: str
    task_id: str | None
    map_index: int | None
    state: str
    becomes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Exactly what a request would change."""

    request: Request
    plans: tuple[RunPlan, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return not self.plans

    @property
    def task_count(self) -> int:
        """How many task instances would change."""
        return sum(len(plan.tasks) + len(plan.added) for plan in self.plans)

    def lines(self) -> Iterator[Line]:
        """All of it, run by run: the run first when its own state changes, then its task instances."""
        for plan in self.plans:
            yield from _lines(plan)

    @property
    def fingerprint(self) -> str:
        """Stands for all that is shown; applying refuses when it is another one by then."""
        digest = hashlib.sha256()
        for plan in self.plans:
            digest.update(repr((plan.run.id, plan.run.state, plan.run.version_id, plan.to, plan.version_id)).encode())
            for change in plan.tasks:
                row = change.row
                digest.update(repr((row.id, row.state, row.try_number, change.to)).encode())
            digest.update(repr([task.task_id for task in plan.added]).encode())
        return digest.hexdigest()


def preview(connection: Connection, request: Request) -> Preview:
    """What a request would change; reads only.

    :raises NotFound: when there is no such DAG, run, task or task group.
    :raises UsageError: when it is about too many runs.
    """
    return _preview(connection, request, runs_by_id(connection, _find(connection, request.runs)))


def apply(database: Database, clock: Clock, request: Request, *, fingerprint: str, actor: str) -> Preview:
    """Do what a preview showed, for all runs or for none; what runs is stopped first. The caller wakes the scheduler.

    :param fingerprint: of the preview.
    :param actor: who does it, as events tell it.
    :raises Conflict: when something else would change by now.
    """
    now = clock.now()
    return database.write(lambda connection: _apply(connection, request, fingerprint, actor, now))


def _apply(connection: Connection, request: Request, fingerprint: str, actor: str, now: datetime) -> Preview:
    held: list[RunRow] = []
    for some in chunks(_find(connection, request.runs)):
        held += lock_runs(connection, some)
    shown = _preview(connection, request, held)
    if shown.fingerprint != fingerprint:
        raise Conflict("What would change is not what was shown: something changed in between. Look at it again.")
    for plan in shown.plans:
        carry_out(connection, plan, actor, now)
    return shown


def do_to_runs(connection: Connection, request: Request, runs: Sequence[RunRow], now: datetime, *, actor: str) -> int:
    """Do a request to runs of one DAG whose rows are held, in a transaction of the caller; nobody is shown it before.

    :returns: how many of them it changed.
    """
    plans = _preview(connection, request, runs).plans
    for plan in plans:
        carry_out(connection, plan, actor, now)
    return len(plans)


def _find(connection: Connection, selection: RunSelection) -> Sequence[int]:
    dag_state(connection, selection.dag_id)  # refuses a DAG that is not there
    found = select_runs(
        connection,
        selection.dag_id,
        run_ids=selection.run_ids,
        since=selection.since,
        until=selection.until,
        limit=MOST_RUNS + 1,
    )
    for run_id in selection.run_ids:
        if run_id not in found.values():
            known = select_runs(connection, selection.dag_id, limit=MOST_RUNS)
            raise NotFound("run", run_id, known.values())
    if len(found) > MOST_RUNS:
        raise UsageError(f"These are more than {MOST_RUNS} runs of {selection.dag_id!r}: take fewer at a time.")
    return list(found)


def _preview(connection: Connection, request: Request, runs: Sequence[RunRow]) -> Preview:
    plans: list[RunPlan] = []
    missing: list[NotFound] = []
    for scene in scenes(connection, request.runs.dag_id, runs):
        try:
            plan = request.plan(scene)
        except NotFound as error:
            missing.append(error)
            continue
        if not plan.is_empty:
            plans.append(plan)
    if runs and len(missing) == len(runs):
        raise missing[-1]
    return Preview(request=request, plans=tuple(plans))


def _lines(plan: RunPlan) -> Iterator[Line]:
    run = plan.run
    if said := plan.said_of_run():
        yield Line(run_id=run.run_id, task_id=None, map_index=None, state=run.state, becomes=said)
    for change in plan.tasks:
        row = change.row
        yield Line(
            run_id=run.run_id, task_id=row.task_id, map_index=row.map_index, state=row.state, becomes=change.becomes
        )
    for task in plan.added:
        yield Line(run_id=run.run_id, task_id=task.task_id, map_index=-1, state="", becomes="is new")
