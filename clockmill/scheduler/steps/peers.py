"""What the other schedulers of a database have to be told of a pass."""

from __future__ import annotations

from datetime import timedelta

from clockmill.scheduler.passes import Pass
from clockmill.scheduler.steps.admit import Admit
from clockmill.storage.wakeup import Call

_LOCKED_OUT_PAUSE = timedelta(milliseconds=20)


def call_peers(work: Pass, admit: Admit) -> None:
    """Note what only the others can do: start what there is no free slot for here, and stop what they look after.

    They are told when it comes up and not again, and one that does as it is told has nothing to tell by that. So
    schedulers that are all busy do not keep one another awake.
    """
    if not work.has_peers:
        return
    if admit.was_locked_out:  # by a peer that is about to commit, and does not call for that
        work.outcomes.look_again = work.now + _LOCKED_OUT_PAUSE
    leaves_calls = work.effects.calls_wait and bool(work.effects.callbacks)
    if work.has_stopped:
        work.outcomes.call = Call.NEWS
    elif leaves_calls or (work.has_changed_room and admit.leaves_work):
        work.outcomes.call = Call.WORK
