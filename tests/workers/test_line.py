"""The line of attempts that wait for a slot."""

from __future__ import annotations

import math

from clockmill.executors.worker import ahead
from clockmill.executors.worker.line import Line
from clockmill.protocols import Workload


def workload(ident: str) -> Workload:
    return Workload(
        attempt_id=ident,
        token="t",
        dag_id="d",
        run_id="r",
        task_id="work",
        bundle="b",
        bundle_path="",
        file="d.py",
        log_path="",
        context={},
    )


def line(*idents: str, now: float = 0.0) -> Line:
    made = Line()
    made.join(map(workload, idents), now)
    return made


def test_who_came_first_begins_first_and_no_more_than_there_are_slots() -> None:
    waiting = line("a", "b")
    waiting.join([workload("c")], 1.0)
    assert [each.attempt_id for each in waiting.take(2)] == ["a", "b"]
    assert [each.attempt_id for each in waiting.take(2)] == ["c"]
    assert (waiting.take(2), len(waiting)) == ([], 0)


def test_who_is_dropped_begins_no_more_and_is_named_once() -> None:
    waiting = line("a", "b", "c")
    assert waiting.drop({"b", "elsewhere"}) == ["b"]
    assert waiting.drop({"b"}) == []
    assert waiting.drop_all() == ["a", "c"]
    assert waiting.drop_all() == []


def test_the_first_one_says_when_it_is_too_late_and_that_is_later_where_nothing_runs() -> None:
    waiting = line("a", now=100.0)
    waiting.join([workload("b")], 101.0)
    assert waiting.late_at(is_alone=False) == 100.0 + ahead.PATIENCE
    assert waiting.late_at(is_alone=True) == 100.0 + ahead.ALONE
    waiting.take(1)
    assert waiting.late_at(is_alone=False) == 101.0 + ahead.PATIENCE
    waiting.take(1)
    assert waiting.late_at(is_alone=False) == math.inf
