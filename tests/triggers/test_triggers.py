"""The triggers that come with Clockmill, each in an event loop of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clockmill.errors import UsageError
from clockmill.protocols import StatesQuery, StatesSeen
from clockmill.triggers import BaseTrigger
from clockmill.triggers.external_task import DagStateTrigger, WorkflowTrigger
from clockmill.triggers.file import FileDeleteTrigger, FileTrigger
from clockmill.triggers.reads import reading_by
from clockmill.triggers.temporal import DateTimeTrigger, TimeDeltaTrigger
from clockmill.xcom import decode, encode
from tests.waiting import NOON, run_of


class Reads:
    """Answers in turn; the last answer again and again."""

    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.queries: list[StatesQuery] = []

    async def get_states(self, query: StatesQuery) -> StatesSeen:
        self.queries.append(query)
        runs = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return StatesSeen(is_known=True, runs=runs)


def fire(trigger: BaseTrigger, reads: Reads | None = None, meanwhile: Callable[[], Any] = lambda: None) -> Any:
    """What the first event of the trigger says."""

    async def first() -> Any:
        asyncio.get_running_loop().call_soon(meanwhile)
        async for event in trigger.run():
            return event.payload
        raise AssertionError("it ended without an event")

    async def in_time() -> Any:
        return await asyncio.wait_for(first(), 10)

    with reading_by(reads or Reads([])):
        return asyncio.run(in_time())


TRIGGERS = [
    DateTimeTrigger(NOON),
    TimeDeltaTrigger(timedelta(hours=1)),
    FileTrigger("/in/*.csv", True, 3.0),
    FileDeleteTrigger("/in/flag"),
    WorkflowTrigger("d", logical_dates=[NOON], external_task_ids=["a"], failed_states=["failed"]),
    DagStateTrigger("d", ["success"], run_ids=["r"]),
]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=lambda trigger: type(trigger).__name__)
def test_another_process_makes_the_same_trigger_again(trigger: BaseTrigger) -> None:
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    kind = getattr(__import__(module, fromlist=[name]), name)
    again = kind(**decode(encode(kwargs)))
    assert vars(again) == vars(trigger)
    assert again.serialize() == (path, kwargs)
    assert inspect.isasyncgen(again.run())


def test_a_moment_that_has_passed_fires_at_once() -> None:
    assert fire(DateTimeTrigger(NOON)) == NOON


def test_a_length_of_time_is_counted_once() -> None:
    trigger = TimeDeltaTrigger(timedelta(hours=1))
    path, kwargs = trigger.serialize()
    assert path.endswith(".DateTimeTrigger")
    assert kwargs == {"moment": trigger.moment}


def test_a_moment_needs_a_time_zone() -> None:
    with pytest.raises(UsageError, match="waits for a datetime with a time zone"):
        DateTimeTrigger(NOON.replace(tzinfo=None))


def test_a_file_that_comes_later_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert fire(FileTrigger(f"{tmp_path}/*.csv", poke_interval=0.001), meanwhile=path.touch) == str(path)


def test_a_signal_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "flag"
    assert fire(FileDeleteTrigger(str(path), poke_interval=0.001), meanwhile=path.touch) is True
    assert not path.exists()


def test_tasks_of_another_dag_are_looked_at_until_they_are_done() -> None:
    trigger = WorkflowTrigger(
        "d",
        logical_dates=[NOON],
        external_task_ids=["a"],
        external_task_group_id="g",
        failed_states=["failed"],
        poke_interval=0,
    )
    reads = Reads([], [run_of("running", a={"running": 1})], [run_of("running", a={"success": 1})])
    assert fire(trigger, reads) == {"status": "success"}
    assert len(reads.queries) == 3
    query = reads.queries[0]
    assert (query.dag_id, query.task_ids, query.group_id) == ("d", ["a"], "g")
    assert query.logical_dates == ["2026-01-31T12:00:00.000000+00:00"]
    assert fire(trigger, Reads([run_of("running", a={"failed": 1})])) == {"status": "failed"}


def test_a_run_is_looked_at_until_it_is_in_one_of_the_states() -> None:
    reads = Reads([run_of("queued")], [run_of("running")], [run_of("failed")])
    assert fire(DagStateTrigger("d", run_ids=["r"], poll_interval=0), reads) == {"r": "failed"}
    assert [query.run_ids for query in reads.queries] == [["r"]] * 3


def test_every_run_is_waited_for() -> None:
    one, both = [run_of("success")], [run_of("success"), run_of("failed", "r2")]
    reads = Reads(one, [run_of("success"), run_of("running", "r2")], both)
    fired = fire(DagStateTrigger("d", run_ids=["r", "r2"], poll_interval=0), reads)
    assert fired == {"r": "success", "r2": "failed"}


def test_a_trigger_that_reads_works_only_where_somebody_answers() -> None:
    trigger = DagStateTrigger("d", run_ids=["r"])

    async def run() -> None:
        async for _ in trigger.run():
            pass

    with pytest.raises(UsageError, match="only while a triggerer runs it"):
        asyncio.run(run())
