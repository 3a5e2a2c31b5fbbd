from __future__ import annotations

from datetime import datetime, timedelta

from clockmill.clock import parse_iso
from clockmill.events import Event, EventKind
from clockmill.storage import events
from clockmill.storage.engine import Database
from clockmill.storage.retention import prune_events

START: datetime = parse_iso("2026-01-01T00:00:00")


def append(database: Database, days: int, **subject: str) -> None:
    event = Event(kind=EventKind.RUN_CREATED, at=START + timedelta(days=days), actor="test", **subject)
    database.write(lambda c: events.append(c, [event]))


def days(database: Database) -> list[int]:
    return [(row["at"] - START).days for row in database.read(events.list_events)]


def test_an_event_is_read_back_as_it_was_told(database: Database) -> None:
    told = Event(
        kind=EventKind.TICKS_DROPPED, at=START, actor="scheduler", dag_id="d", run_id="r", task_id="t", map_index=2,
        detail={"first": "2026-01-01", "count": 3},
    )  # fmt: skip
    database.write(lambda c: events.append(c, [told]))
    (row,) = database.read(events.list_events)
    assert {name: row[name] for name in row if name != "id"} == {
        "at": START, "kind": "ticks_dropped", "actor": "scheduler", "dag_id": "d", "run_id": "r", "task_id": "t",
        "map_index": 2, "detail": {"first": "2026-01-01", "count": 3},
    }  # fmt: skip


def test_the_log_is_read_newest_first_a_page_at_a_time(database: Database) -> None:
    for day in range(5):
        append(database, day)
    first = database.read(lambda c: events.list_events(c, limit=2))
    second = database.read(lambda c: events.list_events(c, before=first[-1]["id"], limit=2))
    assert [(row["at"] - START).days for row in first + second] == [4, 3, 2, 1]


def test_events_of_one_dag_or_run_can_be_picked(database: Database) -> None:
    append(database, 0, dag_id="d", run_id="r")
    append(database, 1, dag_id="d", run_id="s")
    append(database, 2, dag_id="e")
    assert [row["run_id"] for row in database.read(lambda c: events.list_events(c, dag_id="d"))] == ["s", "r"]
    assert len(database.read(lambda c: events.list_events(c, dag_id="d", run_id="r"))) == 1


def test_old_events_are_deleted_a_batch_at_a_time(database: Database) -> None:
    for day in range(5):
        append(database, day)
    limit = START + timedelta(days=3)
    assert [database.write(lambda c: prune_events(c, limit, limit=2)) for _ in range(3)] == [2, 1, 0]
    assert days(database) == [4, 3]
