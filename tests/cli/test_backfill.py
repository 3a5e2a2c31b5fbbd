"""``clockmill backfill``: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from clockmill import DAG
from clockmill.cli.app import App
from clockmill.cli.main import cli
from clockmill.operators.bash import BashOperator
from clockmill.serde import dumps, encode
from clockmill.state import BackfillState
from clockmill.storage import tables
from clockmill.storage.backfills import note_progress
from clockmill.storage.engine import Database
from clockmill.storage.transitions import move_backfill
from clockmill.testing.clock import FakeClock

NOW = datetime(2026, 1, 10, tzinfo=UTC)
CREATE = ["backfill", "create", "sales", "--from", "2024-01-01", "--to", "2024-01-03"]


@pytest.fixture
def database(program: Any) -> Iterator[Database]:
    opened = Database(f"sqlite:///{program.home / 'clockmill.db'}", synchronous="OFF")
    yield opened
    opened.close()


@pytest.fixture
def rows(database: Database, make_rows: Any) -> Any:
    """The DAG ``sales``, every day at six in Berlin, with a failed run on the second of January."""
    with DAG("sales", schedule="0 6 * * *", timezone="Europe/Berlin") as dag:
        BashOperator(task_id="load", bash_command="true")
    made = make_rows(database)
    version = made.dag("sales", schedule="0 6 * * *")
    document = dumps(encode(dag))
    database.write(lambda c: c.execute(update(tables.dag_version).values(document=document)))
    run = made.run(version, "sales", "by_hand", "failed", logical_date=datetime(2024, 1, 2, 5, tzinfo=UTC))
    made.task(run, "load", "failed", try_number=1)
    return made


def test_create_prints_the_id_alone_and_returns(program: Any, rows: Any) -> None:
    result = program(*CREATE)
    assert (result.stdout, result.exit_code) == ("1\n", 0)
    shown = program.json("backfill", "show", "1")
    assert (shown["state"], shown["from_date"], shown["to_date"]) == (
        "running",
        "2023-12-31T23:00:00.000000+00:00",
        "2024-01-03T22:59:59.999999+00:00",
    )
    assert (shown["runs"], shown["is_settled"], shown["reprocess_behavior"]) == (0, False, "none")


def test_create_tells_programs_what_becomes_of_the_dates(program: Any, rows: Any) -> None:
    made = program.json(*CREATE, "--reprocess-behavior", "failed")
    assert {name: made[name] for name in ("id", "dag_id", "dates", "new", "re-run", "left")} == {
        "id": 1,
        "dag_id": "sales",
        "dates": 3,
        "new": 2,
        "re-run": 1,
        "left": 0,
    }


def test_a_dry_run_lists_every_date_and_changes_nothing(program: Any, rows: Any) -> None:
    result = program(*CREATE, "--dry-run", "--output", "json")
    assert [
        (row["logical_date"][:13], row["run_id"], row["action"], row["reason"]) for row in json.loads(result.stdout)
    ] == [
        ("2024-01-01T05", "backfill__2024-01-01T05:00:00+00:00", "new", ""),
        ("2024-01-02T05", "by_hand", "left", "its run ended: failed"),
        ("2024-01-03T05", "backfill__2024-01-03T05:00:00+00:00", "new", ""),
    ]
    assert (result.stderr, result.exit_code) == ("3 dates: 2 new, 0 re-run, 1 left.\n", 0)
    assert program.json("backfill", "list") == []


def test_it_warns_where_somebody_would_wait_in_vain(program: Any, database: Database, rows: Any) -> None:
    database.write(lambda c: c.execute(update(tables.dag).values(is_paused=True)))
    result = program("backfill", "create", "sales", "--from", "2024-01-02", "--to", "2024-01-02")
    assert "clockmill dags unpause sales" in result.stderr
    assert "--reprocess-behavior" in result.stderr


TWO_DAYS = ["create", "sales", "--from", "2024-01-01", "--to", "2024-01-02"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["create", "slaes", "--from", "2024-01-01", "--to", "2024-01-02"], 1, "Did you mean 'sales'?"),
        (["create", "sales", "--from", "soon", "--to", "2024-01-02"], 2, "is not a time such as"),
        (["create", "sales", "--from", "2024-01-01"], 2, "'--to'"),
        (
            ["create", "sales", "--from", "2024-01-02", "--to", "2024-01-01"],
            2,
            "from 2024-01-02 to 2024-01-01 ends before",
        ),
        ([*TWO_DAYS, "--stop-at", "0%"], 2, "more than 0"),
        ([*TWO_DAYS, "--canary", "3"], 1, "between 1 and 1"),
        ([*TWO_DAYS, "--tasks", "lod"], 1, "Did you mean 'load'?"),
        ([*TWO_DAYS, "--conf", "[]"], 2, "JSON object"),
        (["show", "7"], 1, "There is no backfill '7'."),
        (["show", "9" * 30], 2, "is not in the range"),
        ([*TWO_DAYS, "--max-active-runs", "9" * 30], 1, "between 1 and 2147483647"),
        (["paws", "7"], 2, "Did you mean 'pause'?"),
        (["list", "slaes"], 1, "Did you mean 'sales'?"),
    ],
)
def test_what_is_no_good_is_refused_in_one_line(program: Any, rows: Any, arguments, status, words) -> None:
    assert words in program.refused("backfill", *arguments, status=status)


def test_the_same_dates_twice_are_refused_with_the_name_of_the_other(program: Any, rows: Any) -> None:
    program.ok(*CREATE)
    assert "The backfill 1 of DAG 'sales' is running" in program.refused(*CREATE)
    assert "The backfill 1 is running and has some of these dates" in program(*CREATE, "--dry-run").stderr


def test_pause_resume_cancel_and_the_list(program: Any, rows: Any) -> None:
    program.ok(*CREATE)
    assert program.ok("backfill", "pause", "1") == "The backfill 1 is paused.\n"
    assert program.json("backfill", "list", "sales", "--state", "paused")[0]["id"] == 1
    assert program.ok("backfill", "resume", "1") == "The backfill 1 goes on: 0 runs left of 0.\n"
    assert program.ok("backfill", "cancel", "1") == "The backfill 1 is cancelled.\n"
    (line,) = program.json("backfill", "list")
    assert (line["dag_id"], line["state"]) == ("sales", "cancelled")
    assert line["reason"].startswith("cancelled by cli:")
    assert "is over: cancelled" in program.refused("backfill", "resume", "1")


def test_show_counts_the_runs_by_state(program: Any, database: Database, rows: Any) -> None:
    program.ok(*CREATE)
    for number, state in enumerate(["success", "success", "failed", "running"]):
        rows.run(1, "sales", f"b{number}", state, backfill_id=1, start_date=rows.start, run_type="backfill")
    database.write(lambda c: note_progress(c, 1, cursor=None, runs=4, is_settled=True))
    shown = program.json("backfill", "show", "1")
    counts = {name: shown[name] for name in ("runs", "queued", "running", "success", "failed")}
    assert counts == {"runs": 4, "queued": 0, "running": 1, "success": 2, "failed": 1}
    assert shown["ends_at"] is not None


class Watched(FakeClock):
    """A clock that lets something happen while a command sleeps."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__(NOW)
        self._meanwhile = meanwhile

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._meanwhile()


@pytest.mark.parametrize(
    ("state", "status", "words"),
    [
        (BackfillState.SUCCESS, 0, "The backfill 1 ended: success"),
        (BackfillState.FAILED, 1, "The backfill 1 ended: failed: told why"),
        (BackfillState.CANCELLED, 1, "The backfill 1 ended: cancelled: told why"),
        (BackfillState.PAUSED, 1, "Go on with 'clockmill backfill resume 1'"),
    ],
)
def test_wait_ends_with_the_outcome(program: Any, database: Database, rows: Any, state, status, words) -> None:
    def end() -> None:
        ended_at = None if state is BackfillState.PAUSED else NOW
        database.write(
            lambda c: move_backfill(c, 1, BackfillState.RUNNING, state, reason="told why", ended_at=ended_at)
        )

    result = CliRunner().invoke(cli, [*CREATE, "--wait"], obj=App(home=program.home, clock=Watched(end)))
    assert (result.exit_code, result.stdout) == (status, "1\n")
    assert words in result.stderr


def test_to_interrupt_the_waiting_leaves_the_backfill_going(program: Any, rows: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(cli, [*CREATE, "--wait"], obj=App(home=program.home, clock=Watched(interrupt)))
    assert (result.exit_code, "goes on without you" in result.stderr) == (130, True)
    assert program.json("backfill", "show", "1")["state"] == "running"
