"""Claiming ahead: only while tasks are short, only as much as begins soon, and given back when it does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import CancelledError

import pytest

from clockmill.executors.worker.ahead import WINDOW, Ahead
from tests.workers.office import Hired, Office

Hire = Callable[..., Hired]


def after(*seconds: float, slots: int = 2) -> Ahead:
    ahead = Ahead(slots)
    for each in seconds:
        run(ahead, each)
    return ahead


def run(ahead: Ahead, seconds: float) -> None:
    ahead.begun(["x"], 0.0)
    ahead.over("x", seconds)


def test_a_worker_that_knows_nothing_of_its_tasks_claims_for_free_slots_alone() -> None:
    assert Ahead(8).allowed(0) == 0


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, 40),
        (WINDOW / 20, 40),
        (WINDOW / 20 + 0.001, 32),
        (WINDOW / 2, 4),
        (WINDOW, 2),
        (WINDOW + 0.001, 0),
        (60.0, 0),
    ],
)
def test_what_is_claimed_ahead_begins_within_the_window(seconds: float, expected: int) -> None:
    assert after(*[seconds] * 50).allowed(0) == expected


def test_a_slot_that_a_long_task_has_gets_nothing_ahead() -> None:
    ahead = after(0.001, slots=3)
    found = []
    for number in range(5):
        ahead.begun([f"slow{number}"], 0.0)
        found.append((ahead.allowed(WINDOW), ahead.allowed(WINDOW + 0.001)))
    assert found == [(60, 40), (60, 20), (60, 0), (60, 0), (60, 0)]
    ahead.lost("slow0")
    ahead.lost("slow1")
    ahead.lost("slow2")
    assert ahead.allowed(WINDOW + 0.001) == 20


def test_what_a_worker_before_began_counts_as_long_and_says_nothing_of_how_long_tasks_take() -> None:
    ahead = after(0.001)
    ahead.begun(["own"], 0.0)
    ahead.found(["own", "other"])  # by the same supervisor, heard of again
    assert (ahead.allowed(WINDOW), ahead.blocked_at) == (20, WINDOW)
    ahead.over("own", 0.001)
    assert ahead.blocked_at == math.inf
    ahead.over("other", 1000.0)
    assert ahead.allowed(1000.0) == 40


def test_after_a_wait_in_vain_nothing_more_is_claimed_ahead_until_tasks_are_short_again() -> None:
    ahead = after(0.001)
    ahead.stuck()
    assert ahead.allowed(0) == 0
    tasks = 0
    while not ahead.allowed(0):
        run(ahead, 0.001)
        tasks += 1
    assert tasks > 5


def test_what_waits_behind_a_task_that_takes_its_time_is_given_back_and_spends_nothing(
    office: Office, hire: Hire
) -> None:
    office.trouble = office.is_unavailable  # until there is something to claim
    worker = hire(slots=1)
    run(worker.worker._ahead, 0.001)
    both = [office.offer("gate"), office.offer("gate")]
    office.trouble = None
    reports = office.wait(lambda: office.reports, "the report of what waited")
    [[report]] = reports.values()
    assert (report.outcome, report.started_at) == ("released", None)
    [goes_on] = [each for each in both if each.attempt_id != report.attempt_id]
    office.bench.open_gate(goes_on)
    assert office.report(goes_on).outcome == "success"


def test_a_worker_that_finds_its_slots_taken_sends_doorbells_to_others_at_once(office: Office, hire: Hire) -> None:
    worker, running = hire(slots=1), office.offer("gate")
    assert worker.knock(running)
    office.said(running, "begin")
    worker.crash()
    next_one = hire(slots=1)
    office.wait(lambda: len(office.workers) == 2, "the next worker")
    with pytest.raises(CancelledError):
        next_one.knock(office.offer("work"))
    office.bench.open_gate(running)
    assert office.report(running).outcome == "success"


def test_what_is_over_is_counted_once_in_the_mean_and_holds_no_slot_any_more(office: Office, hire: Hire) -> None:
    worker = hire(slots=1)
    for task in ("work", "fail"):
        office.report(office.offer(task))
    worker.worker.drain()
    worker.join()
    assert worker.worker._ahead._since == {}
    assert worker.worker._ahead._mean is not None
