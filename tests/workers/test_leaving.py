"""How a worker ends: which phase follows which, and how long it waits for whom."""

from __future__ import annotations

from dataclasses import replace

from clockmill.executors.worker.leaving import Leaving, Phase, Remains

FAREWELL = 10.0
BUSY = Remains(runs=True, has_news=False, is_writing=False, is_registered=True, has_left=False, has_supervisors=True)
UNTOLD = replace(BUSY, runs=False, has_news=True)
TOLD = replace(BUSY, runs=False)


def drained(*, is_hurried: bool = False) -> Leaving:
    leaving = Leaving(FAREWELL)
    leaving.begin()
    if is_hurried:
        leaving.hurry()
    return leaving


def begun(leaving: Leaving, now: float, left: Remains) -> list[Phase]:
    """The phases that begin one after the other."""
    return list(iter(lambda: leaving.step(now, left), None))


def test_it_ends_what_runs_tells_it_says_goodbye_and_waits_for_its_supervisors() -> None:
    leaving = drained()
    for left in (BUSY, UNTOLD, replace(TOLD, is_writing=True)):
        assert begun(leaving, 1e6, left) == []
    assert begun(leaving, 100.0, TOLD) == [Phase.LEAVING]
    assert begun(leaving, 101.0, replace(TOLD, is_writing=True)) == []
    assert begun(leaving, 102.0, replace(TOLD, has_left=True)) == [Phase.ENDING]
    assert begun(leaving, 103.0, replace(TOLD, has_left=True, has_supervisors=False)) == [Phase.OVER]


def test_goodbye_is_said_for_as_long_as_the_farewell_and_not_longer() -> None:
    leaving = drained()
    begun(leaving, 100.0, TOLD)
    assert leaving.due == 100.0 + FAREWELL
    assert begun(leaving, 99.9 + FAREWELL, TOLD) == []
    assert begun(leaving, 100.0 + FAREWELL, TOLD) == [Phase.ENDING]
    assert leaving.due == float("inf")


def test_in_a_hurry_reports_are_told_for_as_long_as_the_farewell_once_nothing_runs_and_then_left_to_the_next() -> None:
    leaving = drained(is_hurried=True)
    assert begun(leaving, 1e3, BUSY) == []
    assert begun(leaving, 1e6, UNTOLD) == []
    assert begun(leaving, 1e6 + FAREWELL - 0.1, UNTOLD) == []
    assert begun(leaving, 1e6 + FAREWELL, UNTOLD) == [Phase.ENDING, Phase.OVER]


def test_a_worker_that_nobody_knows_says_no_goodbye() -> None:
    assert begun(drained(), 0.0, replace(TOLD, is_registered=False)) == [Phase.ENDING]


def test_to_begin_to_leave_again_changes_nothing() -> None:
    leaving = drained()
    begun(leaving, 0.0, TOLD)
    leaving.begin()
    assert leaving.phase is Phase.LEAVING
