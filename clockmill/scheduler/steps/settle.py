"""Write down what follows in each run from what happened to its tasks, up to the end of the run."""

from __future__ import annotations

from clockmill.events import EventKind
from clockmill.scheduler.passes import Pass
from clockmill.scheduler.steps.callbacks import call_for_decided, call_for_run
from clockmill.scheduler.steps.deadlines import is_watched, judge_deadlines
from clockmill.scheduler.steps.fail_fast import fail_fast
from clockmill.scheduler.steps.past import Past
from clockmill.scheduler.steps.stops import Stops
from clockmill.scheduler.views import RunView
from clockmill.state import RunState, TaskState


class Settle:
    """Moves each run that is held as far as it goes by itself."""

    def __init__(self, past: Past, stops: Stops) -> None:
        self._past = past
        self._stops = stops

    def settle(self, work: Pass) -> None:
        """Settle every run, then judge the deadlines that this may have met."""
        for view in work.held.values():
            self._decide(work, view)
            if view.aggregate.has_ended:
                _end(work, view)
            if is_watched(view):
                work.watched.add(view.run.id)
            work.outcomes.wake_at(view.aggregate.soonest_due())
            if work.has_peers and view.aggregate.newly(TaskState.SCHEDULED):
                work.has_changed_room = True
            _write(work, view)
        work.outcomes.wake_at(judge_deadlines(work.connection, work.held, work.watched, work.effects, work.now))

    def _decide(self, work: Pass, view: RunView) -> None:
        """Take every step that follows from the states of the tasks."""
        connection, now = work.connection, work.now
        call_for_decided(view, view.settle(connection, now), work.effects, now)
        if (stops := fail_fast(view, now)) is not None:
            self._stops.stop(work, stops, [view.run.id], "fail_fast")
            view.settle(connection, now)  # teardowns may be ready now
        self._past.note(view)
        view.conclude(now)


def _end(work: Pass, view: RunView) -> None:
    """Tell all who have to know that a run has ended."""
    run = view.run
    work.effects.tell(EventKind.RUN_STATE, work.now, run, state=run.state, reason=run.reason)
    call_for_run(view, work.effects, work.now)
    work.outcomes.finished_runs += 1
    if run.state is RunState.FAILED and view.plan.document.max_consecutive_failed_dag_runs:
        work.failing_dags.add(run.dag_id)


def _write(work: Pass, view: RunView) -> None:
    """Write a run that moved; of others the tasks alone, because admission may change the run once more."""
    if view.aggregate.has_moved:
        view.aggregate.flush(work.connection)
    else:
        view.aggregate.write_tasks(work.connection)
