"""``tasks clear``, ``tasks mark`` and ``runs``: which runs, the preview, the question, exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import update

from clockmill import DAG
from clockmill.operators.bash import BashOperator
from clockmill.serde import dumps, encode
from clockmill.storage import tables
from clockmill.storage.engine import Database

DAYS = ("day1", "day2", "day3")


@pytest.fixture
def database(program: Any) -> Iterator[Database]:
    opened = Database(f"sqlite:///{program.home / 'clockmill.db'}", synchronous="OFF")
    yield opened
    opened.close()


@pytest.fixture
def etl(database: Database, make_rows: Any) -> None:
    """A DAG of New York with three daily runs at six in the morning; ``load`` failed in each."""
    with DAG("etl", schedule=None, timezone="America/New_York") as dag:
        BashOperator(task_id="take", bash_command="true") >> BashOperator(task_id="load", bash_command="true")
    rows = make_rows(database)
    version = rows.dag("etl")
    document = dumps(encode(dag))
    database.write(lambda c: c.execute(update(tables.dag_version).values(document=document)))
    for number, run_id in enumerate(DAYS, 1):
        date = datetime(2026, 1, number, 11, tzinfo=UTC)
        run = rows.run(version, "etl", run_id, "failed", logical_date=date)
        rows.task(run, "take", "success", try_number=1)
        rows.task(run, "load", "failed", try_number=1)


def states(program: Any, run_id: str) -> dict[str, str]:
    return {row["task_id"]: row["state"] for row in program.json("tasks", "states-for-dag-run", "etl", run_id)}


def run_states(program: Any) -> dict[str, str]:
    return {row["run_id"]: row["state"] for row in program.json("dags", "list-runs", "etl")}


def previewed(program: Any, *arguments: str) -> list[tuple[str, str | None]]:
    rows = json.loads(program.ok(*arguments, "--dry-run", "--output", "json"))
    return [(row["run_id"], row["task_id"]) for row in rows]


@pytest.mark.usefixtures("etl")
def test_a_dry_run_shows_what_would_change_and_changes_nothing(program: Any) -> None:
    rows = program.json("tasks", "clear", "etl", "--run", "day1", "--only-failed", "--dry-run")
    assert rows == [
        {"run_id": "day1", "task_id": None, "map_index": None, "state": "failed", "becomes": "queued"},
        {"run_id": "day1", "task_id": "load", "map_index": -1, "state": "failed", "becomes": "runs again"},
    ]
    assert set(run_states(program).values()) == {"failed"}


@pytest.mark.usefixtures("etl")
@pytest.mark.parametrize(
    ("range_", "expected"),
    [
        ([], DAYS),
        (["--run", "day3", "--run", "day1"], ("day1", "day3")),
        (["--from", "2026-01-02"], ("day2", "day3")),
        (["--to", "2026-01-02"], ("day1", "day2")),
        (["--from", "2026-01-02T06:00", "--to", "2026-01-02T06:00"], ("day2",)),
        (["--from", "2026-01-02T06:01", "--to", "2026-01-03T05:59"], ()),
        (["--from", "2026-01-02T11:00:00+00:00"], ("day2", "day3")),
    ],
)
def test_runs_are_chosen_by_dates_in_the_zone_of_the_dag_both_ends_included(
    program: Any, range_: list[str], expected: tuple[str, ...]
) -> None:
    output = program.ok("tasks", "clear", "etl", *range_, "--only-failed", "--dry-run", "--output", "plain")
    assert tuple(line.split("\t")[0] for line in output.splitlines() if "\tload\t" in line) == expected


@pytest.mark.usefixtures("etl")
@pytest.mark.parametrize(
    "arguments",
    [
        ["tasks", "clear", "etl"],
        ["tasks", "mark", "etl", "load", "--run", "day1", "--state", "success"],
        ["runs", "mark", "success", "etl", "day1"],
        ["runs", "rerun", "etl", "day1", "--from-failure"],
    ],
)
def test_off_a_terminal_nothing_is_done_without_yes(program: Any, arguments: list[str]) -> None:
    result = program(*arguments)
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert "load" in result.stdout
    assert set(run_states(program).values()) == {"failed"}


@pytest.mark.usefixtures("etl")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tasks", "clear", "etl", "--run", "day1", "--to", "2026-01-02"], "not both"),
        (["tasks", "mark", "etl", "load", "--state", "failed"], "Say which runs"),
        (["runs", "stop", "etl"], "Say which runs"),
        (["runs", "mark", "sucess", "etl", "day1"], "sucess"),
        (["tasks", "clear", "etl", "--from", "yesterday"], "is not a time"),
        (["tasks", "clear", "etl", "--map-index", "-1"], "-1"),
    ],
)
def test_what_makes_no_sense_is_refused(program: Any, arguments: list[str], told: str) -> None:
    assert told in program.refused(*arguments, status=2)


@pytest.mark.usefixtures("etl")
@pytest.mark.parametrize(
    "command",
    [
        ["tasks", "clear", "etl"],
        ["tasks", "mark", "etl", "load", "--state", "success"],
        ["runs", "mark", "failed", "etl"],
        ["runs", "rerun", "etl", "--from-failure"],
        ["runs", "stop", "etl"],
    ],
)
def test_a_range_that_ends_before_it_begins_is_refused(program: Any, command: list[str]) -> None:
    swapped = [*command, "--from", "2026-01-02", "--to", "2026-01-01", "--yes"]
    assert "from 2026-01-02 05:00:00 UTC to 2026-01-02 04:59:59 UTC ends" in program.refused(*swapped, status=2)
    assert set(run_states(program).values()) == {"failed"}


@pytest.mark.usefixtures("etl")
def test_many_runs_are_cleared_at_once_and_said_so(program: Any) -> None:
    output = program.ok("tasks", "clear", "etl", "--from", "2026-01-02", "--task", "^load$", "--yes")
    assert output.splitlines()[-1] == "Cleared 2 task instances in 2 runs."
    assert run_states(program) == {"day1": "failed", "day2": "queued", "day3": "queued"}
    assert states(program, "day2") == {"take": "success", "load": "none"}


@pytest.mark.usefixtures("etl")
def test_tasks_are_marked(program: Any) -> None:
    arguments = ["tasks", "mark", "etl", "load", "--run", "day1", "--run", "day2", "--state", "skipped", "--yes"]
    assert program.ok(*arguments).splitlines()[-1] == "Marked skipped: 2 task instances in 2 runs changed."
    assert run_states(program) == {"day1": "success", "day2": "success", "day3": "failed"}
    assert program.ok(*arguments) == "There is nothing to mark.\n"


@pytest.mark.usefixtures("etl")
def test_runs_are_marked_run_again_and_stopped(program: Any) -> None:
    assert "Marked 1 run success." in program.ok("runs", "mark", "success", "etl", "day1", "--yes")
    assert "Nothing failed" in program.ok("runs", "rerun", "etl", "day1", "--from-failure", "--yes")
    assert previewed(program, "runs", "rerun", "etl", "day2", "--from-failure") == [("day2", None), ("day2", "load")]
    program.ok("runs", "rerun", "etl", "day1", "day2", "--yes")
    assert states(program, "day2") == {"take": "none", "load": "none"}
    assert "Stopped 1 run." in program.ok("runs", "stop", "etl", "day2", "--yes")
    assert run_states(program) == {"day1": "queued", "day2": "failed", "day3": "failed"}
    assert "nothing to stop" in program.ok("runs", "stop", "etl", "day3", "--yes")


@pytest.mark.usefixtures("etl")
def test_what_waits_for_a_paused_dag_is_said_to_wait(program: Any) -> None:
    program.ok("dags", "pause", "etl")
    result = program("tasks", "clear", "etl", "--run", "day1", "--yes")
    assert "clockmill dags unpause etl" in result.stderr


@pytest.mark.usefixtures("etl")
def test_with_another_output_only_the_preview_is_on_standard_output(program: Any) -> None:
    result = program("tasks", "clear", "etl", "--run", "day1", "--only-failed", "--yes", "--output", "json")
    assert [row["task_id"] for row in json.loads(result.stdout)] == [None, "load"]
    assert "Cleared 1 task instance in 1 run." in result.stderr


def test_instances_to_which_the_same_happens_are_one_line_for_people(
    program: Any, database: Database, make_rows: Any
) -> None:
    with DAG("many", schedule=None) as dag:
        BashOperator.partial(task_id="work").expand(bash_command=["true"] * 1000)
    rows = make_rows(database)
    version = rows.dag("many")
    database.write(lambda c: c.execute(update(tables.dag_version).values(document=dumps(encode(dag)))))
    run = rows.run(version, "many", "r1", "failed")
    for index in range(1000):
        rows.task(run, "work", "failed" if index in (3, 5) else "success", try_number=1, map_index=index)
    request = ("tasks", "clear", "many", "--run", "r1", "--dry-run")
    table = [
        [cell.strip() for cell in line.split("│")[2:6]] for line in program.ok(*request).splitlines() if "work" in line
    ]
    assert table == [
        ["work", "0-2, 4, 6-999", "success", "runs again"],
        ["work", "3, 5", "failed", "runs again"],
    ]
    assert len(program.json(*request)) == 1001
