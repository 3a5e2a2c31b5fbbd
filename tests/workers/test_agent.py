"""The agent on a machine, with real supervisors below it, and an office that says what the test wants."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clockmill.errors import Conflict
from tests.workers.office import Hired, Office

Hire = Callable[..., Hired]


def test_what_is_knocked_for_is_claimed_run_and_reported(office: Office, hire: Hire) -> None:
    worker = hire()
    workload = office.offer("work")
    assert worker.knock(workload)
    report = office.report(workload)
    assert (report.outcome, report.token) == ("success", workload.token)
    assert "hello, world" in (worker.log_folder / "work" / f"{workload.attempt_id}.log").read_text()


def test_it_leaves_when_it_is_drained(office: Office, hire: Hire) -> None:
    worker = hire()
    workload = office.offer("gate")
    worker.knock(workload)
    office.said(workload, "begin")
    worker.worker.drain()
    office.wait(lambda: office.letters[-1].is_draining, "a letter that says so")
    office.bench.open_gate(workload)
    worker.join()
    assert office.report(workload).outcome == "success"
    assert office.gone == set(office.workers)


def test_two_of_a_name_on_one_home_are_refused(hire: Hire) -> None:
    hire()
    with pytest.raises(Conflict, match="is running on this home already"):
        hire()
