"""The checker finds planted faults: without these tests, a checker that sees nothing would praise everything."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from clockmill.clock import parse_iso
from tests.faults.evidence import KEYS, Attempt, Entry, Evidence, Task, read_ledger, violations

NOON = parse_iso("2026-01-01T12:00:00")


def attempt(ident: str, task: str, begin: int, end: int, state: str = "success") -> Attempt:
    seconds = (timedelta(seconds=moment) for moment in (begin, end))
    queued, ended = (NOON + each for each in seconds)
    return Attempt(ident, task, state, 1, "s", "narrow", queued, ended)


def executed(ident: str, task: str, begin: float, end: float) -> list[Entry]:
    return [Entry("START", ident, task, 1, begin), Entry("END", ident, task, 1, end)]


def values(ident: str) -> dict[str, str]:
    return dict.fromkeys(KEYS, ident)


@pytest.fixture
def sound() -> Evidence:
    """Two tasks one after the other, the second one lost once."""
    return Evidence(
        entries=[
            *executed("a", "d/r/one", 1, 2),
            Entry("START", "b", "d/r/two", 1, 3),
            *executed("c", "d/r/two", 5, 6),
        ],
        runs={"d/r": "success"},
        tasks=[Task("d/r/one", "success", 1, 0, values("a")), Task("d/r/two", "success", 1, 1, values("c"))],
        attempts=[attempt("a", "d/r/one", 0, 2), attempt("b", "d/r/two", 2, 4, "lost"), attempt("c", "d/r/two", 4, 6)],
        slots={"narrow": 1, "s": 1},
        answered={"d/r"},
    )


def faults(evidence: Evidence) -> set[str]:
    return {fault.partition(":")[0] for fault in violations(evidence)}


def test_nothing_is_held_against_a_sound_history(sound: Evidence) -> None:
    assert violations(sound) == []


def test_a_second_start_of_an_attempt_is_found(sound: Evidence) -> None:
    doubled = replace(sound, entries=[*sound.entries, Entry("START", "b", "d/r/two", 2, 3.5)])
    assert faults(doubled) == {"I3"}


def test_two_attempts_at_once_are_found(sound: Evidence) -> None:
    late_end = replace(sound, entries=[*sound.entries, Entry("END", "b", "d/r/two", 1, 5.5)])
    assert "I3" in faults(late_end)


def test_a_process_that_outlives_its_attempt_is_found(sound: Evidence) -> None:
    assert faults(replace(sound, entries=[*sound.entries, Entry("OVERLAP", "c", "d/r/two", 1, 5)])) == {"I3"}


def test_attempts_that_overlap_in_the_rows_are_found(sound: Evidence) -> None:
    early = [*sound.attempts[:2], attempt("c", "d/r/two", 3, 6)]
    assert "I3" in faults(replace(sound, attempts=early))


def test_a_success_that_runs_again_is_found(sound: Evidence) -> None:
    again = [*sound.entries, *executed("e", "d/r/one", 7, 8)]
    rows = [*sound.attempts, attempt("e", "d/r/one", 7, 8)]
    assert "I2" in faults(replace(sound, entries=again, attempts=rows))


def test_a_success_that_nobody_executed_is_found(sound: Evidence) -> None:
    assert faults(replace(sound, entries=[e for e in sound.entries if e.attempt != "a"])) == {"I1"}


@pytest.mark.parametrize("state", ["failed", "running"])
def test_a_run_that_does_not_succeed_is_found(sound: Evidence, state: str) -> None:
    assert faults(replace(sound, runs={"d/r": state})) == {"I1"}


def test_an_answered_run_that_is_gone_is_found(sound: Evidence) -> None:
    assert faults(replace(sound, answered={"d/r", "d/other"})) == {"I12"}


def test_a_run_too_many_is_found(sound: Evidence) -> None:
    assert faults(replace(sound, runs={"d/r": "success", "d/r2": "success"})) == {"I1"}


def test_values_of_another_attempt_are_found(sound: Evidence) -> None:
    stale = [sound.tasks[0], replace(sound.tasks[1], xcoms=values("b"))]
    assert faults(replace(sound, tasks=stale)) == {"I4"}


def test_an_execution_that_the_database_does_not_know_is_found(sound: Evidence) -> None:
    assert "I4" in faults(replace(sound, entries=[*sound.entries, Entry("START", "x", "d/r/two", 1, 3.5)]))


def test_a_success_without_all_its_values_is_found(sound: Evidence) -> None:
    half = [sound.tasks[0], replace(sound.tasks[1], xcoms={"proof": "c"})]
    assert faults(replace(sound, tasks=half)) == {"I6"}


def test_too_many_at_once_are_found_in_rows_and_in_processes(sound: Evidence) -> None:
    rows = [attempt("a", "d/r/one", 0, 3), *sound.attempts[1:]]
    assert faults(replace(sound, attempts=rows)) == {"I7"}
    both = [*executed("a", "d/r/one", 1, 5.5), *sound.entries[2:]]
    assert faults(replace(sound, entries=both)) == {"I7"}


def test_a_crash_that_is_not_counted_and_a_try_that_is_are_found(sound: Evidence) -> None:
    for wrong in (replace(sound.tasks[1], crashes=0), replace(sound.tasks[1], try_number=2)):
        assert faults(replace(sound, tasks=[sound.tasks[0], wrong])) == {"I13"}


def test_a_line_that_is_not_whole_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_text("START a d/r/one 7 1.5\nEND a d/r/o")
    assert read_ledger(tmp_path / "ledger") == [Entry("START", "a", "d/r/one", 7, 1.5)]
