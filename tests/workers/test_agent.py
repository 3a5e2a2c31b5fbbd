"""The agent on a machine, with real supervisors below it, and an office that says what the test wants."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import CancelledError
from pathlib import Path

import psutil
import pytest

from clockmill.errors import Conflict, GatewayUnavailable, UsageError
from clockmill.executors.local import LocalExecutor
from clockmill.executors.worker import ahead
from clockmill.protocols import Workload
from clockmill.protocols.workers import Exchange
from clockmill.testing.bench import ended
from tests.workers.office import PATIENCE, Hired, Office

Hire = Callable[..., Hired]


# --- work ------------------------------------------------------------------------------------------------------------


def test_what_is_knocked_for_is_claimed_run_and_reported(office: Office, hire: Hire) -> None:
    worker = hire()
    workload = office.offer("work")
    assert worker.knock(workload)
    report = office.report(workload)
    assert (report.outcome, report.token) == ("success", workload.token)
    assert "hello, world" in (worker.log_folder / "work" / f"{workload.attempt_id}.log").read_text()
    assert worker.knock(workload)  # the doorbell comes a second time, after all is over


def test_nothing_is_claimed_that_cannot_start(office: Office, hire: Hire) -> None:
    worker = hire(slots=1)
    first = office.offer("gate")
    assert worker.knock(first)
    office.said(first, "begin")
    second = office.offer("work")
    with pytest.raises(CancelledError):
        worker.knock(second)
    beats = len(office.letters)
    office.wait(lambda: len(office.letters) > beats + 1, "two more beats")
    assert second.attempt_id in office.offers
    office.bench.open_gate(first)
    assert office.report(second).outcome == "success"
    assert all(len(letter.held) <= 2 and letter.want <= 1 for letter in office.letters)


def test_those_who_knock_at_once_are_answered_by_one_letter(office: Office, hire: Hire) -> None:
    worker = hire(slots=8, beat_seconds=60.0)
    office.wait(lambda: office.letters, "the first letter")
    office.trouble = lambda said: GatewayUnavailable("away") if len(said.claims) < 8 else None
    workloads = [office.offer("work") for _ in range(8)]
    futures = [worker.worker.knock(each.attempt_id, each.token) for each in workloads]
    assert all(future.result(PATIENCE) for future in futures)
    office.trouble = None
    assert {office.report(each).outcome for each in workloads} == {"success"}


def test_who_knocks_for_what_is_gone_is_told_so_and_the_worker_looks_for_other_work(office: Office, hire: Hire) -> None:
    worker = hire(beat_seconds=60.0)
    office.wait(lambda: office.letters, "the first letter")
    gone = office.bench.workload("work")
    other = office.offer("work")
    assert not worker.knock(gone)
    assert office.report(other).outcome == "success"


def test_an_idle_worker_finds_what_nobody_rang_for(office: Office, hire: Hire) -> None:
    worker, unrung = hire(), []
    worker.worker.door.attend(missed=lambda: unrung.append("deaf?"), welcome=lambda is_welcome: None)
    office.wait(lambda: office.letters, "the first letter")
    assert office.report(office.offer("work")).outcome == "success"
    assert unrung == ["deaf?"]


def test_a_worker_whose_slots_are_taken_for_long_leaves_doorbells_to_others_until_one_is_free(
    office: Office, hire: Hire
) -> None:
    worker, told = hire(slots=1, beat_seconds=60.0), []
    worker.worker.door.attend(missed=lambda: None, welcome=told.append)
    long = office.offer("gate")
    assert worker.knock(long)
    office.said(long, "begin")
    other = office.bench.workload("work")
    with pytest.raises(CancelledError):
        worker.knock(other)
    assert told == [False]
    office.bench.open_gate(long)
    office.report(long)
    office.wait(lambda: told == [False, True], "an open door")
    other = office.offer("work")
    assert worker.knock(other)


def test_a_start_is_told_while_it_runs(office: Office, hire: Hire) -> None:
    worker = hire(beat_seconds=60.0)
    workload = office.offer("gate")
    worker.knock(workload)
    office.wait(lambda: workload.attempt_id in office.started, "the start")
    office.bench.open_gate(workload)
    office.report(workload)


def test_what_is_to_be_stopped_is_stopped(office: Office, hire: Hire) -> None:
    worker = hire(beat_seconds=60.0)
    workload = office.offer("wait")
    worker.knock(workload)
    office.said(workload, "begin")
    office.stops.add(workload.attempt_id)
    worker.worker.nudge(["another"])
    worker.worker.nudge([workload.attempt_id])
    assert office.report(workload).outcome == "stopped"


# --- code ------------------------------------------------------------------------------------------------------------


def test_a_bundle_that_cannot_be_fetched_now_is_fetched_later(office: Office, hire: Hire) -> None:
    tries = []

    def fetch(bundle: str) -> Path:
        tries.append(bundle)
        if len(tries) == 1:
            raise GatewayUnavailable("the database is away")
        return office.bench.home / "bundle"

    worker = hire(fetch_bundle=fetch)
    first, second = office.offer("work"), office.offer("work")
    worker.knock(first)
    assert office.report(first).outcome == "success"
    worker.knock(second)
    assert office.report(second).outcome == "success"
    assert tries == ["bundle-1", "bundle-1"]


def test_a_bundle_that_is_nowhere_fails_the_attempt_with_a_sentence(office: Office, hire: Hire) -> None:
    def fetch(bundle: str) -> Path:
        raise UsageError("There is no bundle 'bundle-1'.")

    worker = hire(fetch_bundle=fetch)
    workload = office.offer("work")
    worker.knock(workload)
    report = office.report(workload)
    assert (report.outcome, report.reason) == ("failed", "Its code cannot be fetched: There is no bundle 'bundle-1'.")


def test_a_machine_that_cannot_keep_code_gives_attempts_back_and_claims_no_more_for_a_while(
    office: Office, hire: Hire
) -> None:
    def fetch(bundle: str) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    worker = hire(fetch_bundle=fetch, beat_seconds=0.05)
    workload = office.offer("work")
    worker.knock(workload)
    report = office.report(workload)
    told = "Its worker could not begin it: No space left on device."
    assert (report.outcome, report.reason) == ("released", told)
    office.offer("work")
    beats = len(office.letters) + 3
    office.wait(lambda: len(office.letters) >= beats, "three more letters")
    assert {(each.want, len(each.claims)) for each in office.letters[-3:]} == {(0, 0)}


def test_what_is_stopped_while_its_code_is_fetched_never_begins(office: Office, hire: Hire) -> None:
    go_on, asked = os.eventfd(0), os.eventfd(0)

    def fetch(bundle: str) -> Path:
        os.eventfd_write(asked, 1)
        os.eventfd_read(go_on)
        return office.bench.home / "bundle"

    worker = hire(fetch_bundle=fetch)
    workload, other = office.offer("work"), office.offer("work")
    worker.knock(workload)
    worker.knock(other)
    os.eventfd_read(asked)
    office.stops.add(workload.attempt_id)
    assert office.report(workload).outcome == "stopped"
    os.eventfd_write(go_on, 1)
    assert office.report(other).outcome == "success"
    assert office.bench.said(workload, "ran") == []
    os.close(go_on)
    os.close(asked)


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_while_nobody_can_be_asked_tasks_run_on_and_nothing_is_lost(office: Office, hire: Hire) -> None:
    worker = hire()
    first = office.offer("gate")
    worker.knock(first)
    office.said(first, "begin")
    office.trouble = office.is_unavailable
    second = office.offer("work")
    waiting = worker.worker.knock(second.attempt_id, second.token)
    office.bench.open_gate(first)
    office.said(first, "end")
    assert not waiting.done()
    assert office.reports == {}
    office.trouble = None
    assert office.report(first).outcome == "success"
    assert waiting.result(PATIENCE)
    assert office.report(second).outcome == "success"


def test_a_report_that_is_refused_is_replaced_by_one_that_says_why_and_the_others_are_taken(
    office: Office, hire: Hire
) -> None:
    worker = hire()
    good, bad = office.offer("gate"), office.offer("gate")
    for each in (good, bad):
        worker.knock(each)
        office.said(each, "begin")

    def refuse(said: Exchange) -> Exception | None:
        refused = any(r["attempt_id"] == bad.attempt_id and r["outcome"] == "success" for r in said.reports)
        return ValueError("no such thing") if refused or 0 < len(said.reports) < held_back else None

    held_back = 2  # so that both are told by one letter at first
    office.trouble = lambda said: office.is_unavailable(said) if said.reports else None
    for each in (good, bad):
        office.bench.open_gate(each)
        office.said(each, "end")
    held_back = 0
    office.trouble = refuse
    assert office.report(good).outcome == "success"
    report = office.report(bad)
    assert (report.outcome, report.reason) == ("failed", "Its result cannot be stored: ValueError: no such thing")
    worker.worker.drain()
    worker.join()


def test_what_ran_below_a_supervisor_that_died_is_lost_and_the_next_attempt_runs(office: Office, hire: Hire) -> None:
    worker = hire()
    lost = office.offer("stubborn")
    worker.knock(lost)
    [child] = office.said(lost, "begin")
    alive = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
    [supervisor] = [each for each in alive if "clockmill.runtime.supervisor" in each.cmdline()]
    with ended(int(child)):
        supervisor.kill()
    report = office.report(lost)
    assert report.outcome == "lost"
    assert report.reason.startswith("The supervisor that ran it is gone.")
    after = office.offer("work")
    worker.knock(after)
    assert office.report(after).outcome == "success"


def test_what_waits_for_a_supervisor_that_does_not_come_is_given_back(
    office: Office, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "ALONE", 0.2)

    def fetch(bundle: str) -> Path:
        monkeypatch.setattr(LocalExecutor, "supervisor_command", lambda self: ["false"])
        alive = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
        [supervisor] = [each for each in alive if "clockmill.runtime.supervisor" in each.cmdline()]
        supervisor.kill()
        supervisor.wait(PATIENCE)
        return office.bench.home / "bundle"

    worker = hire(fetch_bundle=fetch)
    workload = office.offer("work")
    worker.knock(workload)
    assert office.report(workload).outcome == "released"
    monkeypatch.undo()


# --- leases ----------------------------------------------------------------------------------------------------------


def test_a_worker_that_is_not_heard_for_too_long_has_ended_its_tasks_before_others_may_have_them(
    office: Office, hire: Hire
) -> None:
    worker = hire(lease_seconds=4.0)
    workload = office.offer("stubborn", kill_grace=0.2)
    worker.knock(workload)
    [child] = office.said(workload, "begin")
    with ended(int(child)):
        office.trouble = office.is_unavailable
    assert office.reports == {}
    office.trouble = None
    report = office.report(workload)
    assert (report.outcome, report.reason) == (
        "released",
        "Its worker could not say in time that it was still there.",
    )


def test_the_tasks_of_a_worker_that_is_dead_end_as_soon(office: Office, hire: Hire) -> None:
    worker = hire(lease_seconds=4.0)
    workload = office.offer("stubborn", kill_grace=0.2)
    worker.knock(workload)
    [child] = office.said(workload, "begin")
    with ended(int(child)):
        worker.crash()
    hire()
    assert office.report(workload).outcome == "released"


def test_a_worker_that_was_given_up_kills_what_it_runs_says_nothing_of_it_and_begins_anew(
    office: Office, hire: Hire
) -> None:
    worker = hire()
    workload = office.offer("stubborn", kill_grace=300.0)
    worker.knock(workload)
    [child] = office.said(workload, "begin")
    [first] = office.workers
    with ended(int(child)):
        office.gone.add(first)
    second = office.wait(lambda: next(iter(office.workers.keys() - {first}), None), "another id")
    after = office.offer("work")
    assert worker.knock(after)
    assert office.report(after).outcome == "success"
    assert workload.attempt_id not in office.reports
    assert office.owners[after.attempt_id] == second


# --- coming and going ------------------------------------------------------------------------------------------------


def test_what_runs_survives_the_death_of_its_worker_when_the_next_one_comes_in_time(office: Office, hire: Hire) -> None:
    worker = hire()
    running, over = office.offer("gate"), office.offer("gate")
    for each in (running, over):
        worker.knock(each)
        office.said(each, "begin")
    office.trouble = office.is_unavailable
    office.bench.open_gate(over)
    office.said(over, "end")
    worker.crash()
    office.trouble = None
    office.lost_answers = 1
    after = hire()
    assert office.report(over).outcome == "success"
    office.bench.open_gate(running)
    assert office.report(running).outcome == "success"
    first, second = office.workers
    assert {office.owners[each.attempt_id] for each in (running, over)} == {second}
    assert office.gone == {first}
    assert len(office.bench.said(running, "begin")) == 1
    after.worker.drain()
    after.join()
    assert office.gone == {first, second}


def test_it_leaves_when_it_is_drained_and_what_runs_has_ended(office: Office, hire: Hire) -> None:
    worker = hire()
    workload, other = office.offer("gate"), office.offer("work")
    worker.knock(workload)
    office.said(workload, "begin")
    office.offers.pop(other.attempt_id, None)
    worker.worker.drain()
    with pytest.raises(CancelledError):
        worker.knock(other)
    office.wait(lambda: office.letters[-1].is_draining, "a letter that says so")
    office.bench.open_gate(workload)
    worker.join()
    assert office.report(workload).outcome == "success"
    assert office.gone == set(office.workers)


def test_what_runs_longer_than_the_grace_is_given_back(office: Office, hire: Hire) -> None:
    worker = hire()
    workload = office.offer("wait")
    worker.knock(workload)
    office.said(workload, "begin")
    worker.worker.drain(grace=0.0)
    worker.join()
    assert office.report(workload).outcome == "released"


def test_told_a_second_time_it_stops_at_once_and_still_reports(office: Office, hire: Hire) -> None:
    worker = hire()
    workload = office.offer("stubborn", kill_grace=300.0)
    worker.knock(workload)
    office.said(workload, "begin")
    worker.worker.drain()
    worker.worker.stop()
    worker.worker.stop()
    worker.join()
    assert office.report(workload).outcome == "released"


def test_a_worker_that_leaves_while_nobody_can_be_asked_leaves_its_reports_to_the_next(
    office: Office, hire: Hire
) -> None:
    worker = hire(farewell=0.5)
    workload = office.offer("wait")
    worker.knock(workload)
    office.said(workload, "begin")
    office.trouble = office.is_unavailable
    worker.worker.stop()
    worker.join()
    office.trouble = None
    hire()
    assert office.report(workload).outcome == "released"


def test_two_of_a_name_on_one_home_are_refused(hire: Hire) -> None:
    hire()
    with pytest.raises(Conflict, match="is running on this home already"):
        hire()


def test_two_of_different_names_share_a_home(office: Office, hire: Hire) -> None:
    one, two = hire(name="one"), hire(name="two")
    workloads: list[Workload] = [office.offer("work") for _ in range(4)]
    for number, each in enumerate(workloads):
        (one, two)[number % 2].worker.knock(each.attempt_id, each.token)
    assert {office.report(each).outcome for each in workloads} == {"success"}
