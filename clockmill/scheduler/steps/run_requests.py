"""Make the runs that tasks ask for, in the transaction that applies their reports.

So a run is there when the task that asked for it has ended or waits for it, and never without that; a report that
comes again asks in vain, because its attempt is over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from clockmill.actions.conf import checked_conf
from clockmill.actions.run_again import run_again
from clockmill.actions.trigger import TriggerOrder, trigger_in
from clockmill.clock import parse_iso, parse_iso_or_none
from clockmill.errors import UsageError
from clockmill.protocols import AttemptReport, RunRequest
from clockmill.scheduler.log_notes import LogNote
from clockmill.scheduler.steps.reports import Ended, counts
from clockmill.scheduler.views import RunView
from clockmill.scheduler.workspace import Effects
from clockmill.state import FINISHED_RUN_STATES, KEPT_OUTCOMES, Outcome, RunType
from clockmill.storage.dags import lock_dags
from clockmill.storage.engine import Connection
from clockmill.storage.runs import creator_of, find_run, taken_run
from clockmill.storage.versions import dag_state

log = logging.getLogger(__name__)

_MICROSECOND = timedelta(microseconds=1)


class _Exists(Exception):
    """Somebody else made a run of that id."""


class _NotNow(UsageError):
    """It cannot be made now, and a later try may find it otherwise while no DAG file changes."""


@dataclass(slots=True)
class Requested:
    """What is left to do of the requests of one pass.

    :param again: the runs that are to be cleared once all else is written, and for whom.
    """

    again: dict[int, str] = field(default_factory=dict)

    def perform(self, connection: Connection, now: datetime) -> None:
        """Clear the runs that are to run again; the last thing that a transaction does with runs."""
        for ident, actor in sorted(self.again.items()):
            run_again(connection, ident, now, actor=actor)


def hold_dags_asked_for(connection: Connection, reports: Iterable[AttemptReport]) -> bool:
    """Hold the DAGs of which runs are asked for, before any run is held; whether there are such."""
    names = {request["dag_id"] for report in reports for request in report.run_requests}
    if names:
        lock_dags(connection, names)
    return bool(names)


def make_requested(
    connection: Connection, ended: list[Ended], views: Mapping[int, RunView], effects: Effects, now: datetime
) -> tuple[list[Ended], Requested]:
    """Make what the attempts ask for.

    :returns: the reports as they are to be applied: where a request is refused, the attempt failed, or was skipped,
        and its log says so.
    """
    done, applied = Requested(), []
    for item in ended:
        verdict = _with_requests(connection, item, views, done, now)
        if verdict is not None:
            effects.log_notes.append(_note(views[item.attempt.dag_run_id], item, verdict))
            item = replace(item, report=verdict)
        applied.append(item)
    return applied, done


def _with_requests(
    connection: Connection, item: Ended, views: Mapping[int, RunView], done: Requested, now: datetime
) -> AttemptReport | None:
    """Make what one attempt asks for; another report in place of its own when that is refused."""
    report = item.report
    asks = report.run_requests and report.outcome in KEPT_OUTCOMES and item.attempt.callback_id is None
    if not asks or not counts(item, views):
        return None
    view = views[item.attempt.dag_run_id]
    actor = "task:" + "/".join([view.run.dag_id, view.run.run_id, *_name(view, item)])
    try:
        for told in report.run_requests:
            _make(connection, RunRequest.from_json(told), actor, done, now)
    except _Exists as found:
        return _ended(report, Outcome.SKIPPED, str(found))
    except UsageError as error:
        return _ended(report, Outcome.FAILED, str(error), no_retry=not isinstance(error, _NotNow))
    return None


def _note(view: RunView, item: Ended, verdict: AttemptReport) -> LogNote:
    key = view.key_of(item.attempt.task_instance_id)
    final = " Another try would ask for the same, so there is none." if verdict.no_retry else ""
    return LogNote(
        dag_id=view.run.dag_id,
        run_id=view.run.run_id,
        task=key,
        try_number=item.attempt.try_number,
        text=f"{verdict.outcome}, because the run that it asked for was not made: {verdict.reason}{final}",
    )


def _name(view: RunView, item: Ended) -> tuple[str, ...]:
    key = view.key_of(item.attempt.task_instance_id)
    return (key.task_id,) if key.map_index < 0 else (key.task_id, str(key.map_index))


def _ended(report: AttemptReport, outcome: Outcome, reason: str, *, no_retry: bool = False) -> AttemptReport:
    """The report of an attempt that did its part, and whose request was refused."""
    return replace(
        report,
        outcome=outcome.value,
        reason=reason,
        no_retry=no_retry,
        xcoms=[],
        branch=None,
        skips=None,
        defer=None,
        look_again_at=None,
        called_back=False,
    )


def _make(connection: Connection, request: RunRequest, actor: str, done: Requested, now: datetime) -> None:
    if found := find_run(connection, request.dag_id, request.run_id):
        if request.skip_existing and creator_of(connection, found.id) != actor:
            raise _Exists(f"The run {request.run_id!r} of DAG {request.dag_id!r} exists already.")
        if request.reset and found.state in FINISHED_RUN_STATES:
            done.again[found.id] = actor
        return
    if request.fail_paused and dag_state(connection, request.dag_id).is_paused:
        raise _NotNow(f"DAG {request.dag_id!r} is paused, so its run would not begin.")
    order = TriggerOrder(
        dag_id=request.dag_id,
        run_type=RunType.OPERATOR_TRIGGERED,
        actor=actor,
        conf=checked_conf(request.conf),
        run_id=request.run_id,
        logical_date=_date(connection, request, now),
        run_after=parse_iso_or_none(request.run_after),
    )
    trigger_in(connection, order, now)


def _date(connection: Connection, request: RunRequest, now: datetime) -> datetime:
    """The logical date asked for, else the first free microsecond from now on: many may ask at the same moment."""
    if request.logical_date is not None:
        return parse_iso(request.logical_date)
    date = now
    while taken_run(connection, request.dag_id, "", date) is not None:
        date += _MICROSECOND
    return date
