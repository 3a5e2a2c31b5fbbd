"""What the commands show of DAGs, runs and tasks that are in the database."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from clockmill import DAG, TaskGroup
from clockmill.clock import parse_iso
from clockmill.operators.bash import BashOperator
from clockmill.serde import dumps, encode
from clockmill.storage import tables
from clockmill.storage.engine import Database

RUN = "manual__2026-01-02"


def example() -> DAG:
    with DAG("sales", schedule="0 6 * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC), tags=["daily"]) as dag:
        extract = BashOperator(task_id="extract", bash_command="true", retries=2)
        with TaskGroup("tidy"):
            clean = BashOperator(task_id="clean", bash_command="true")
            check = BashOperator(task_id="check", bash_command="true")
        load = BashOperator(task_id="load", bash_command="true", retry_delay=timedelta(seconds=1))
        extract >> [clean, check] >> load
    return dag


@pytest.fixture
def database(program: Any) -> Iterator[Database]:
    opened = Database(f"sqlite:///{program.home / 'clockmill.db'}", synchronous="OFF")
    yield opened
    opened.close()


@pytest.fixture
def sales(database: Database, make_rows: Any) -> Any:
    """The DAG ``sales`` with one run, in which ``load`` failed."""
    rows = make_rows(database)
    due = parse_iso("2026-01-03T06:00:00")
    version = rows.dag("sales", owner="ada", next_run_after=due, schedule="0 6 * * *")
    document = dumps(encode(example()))
    database.write(lambda c: c.execute(update(tables.dag_version).values(document=document)))
    database.write(lambda c: c.execute(update(tables.dag).values(tags=["daily"])))
    run = rows.run(version, "sales", RUN, "failed")
    for task_id in ("extract", "tidy.clean", "tidy.check"):
        rows.task(run, task_id, "success", try_number=1)
    load = rows.task(run, "load", "failed", try_number=2, max_tries=2)
    rows.xcom(run, load, "load", '{"rows": 3}', key="result")
    return rows


def test_dags_are_listed_with_the_promised_fields(program: Any, sales: Any) -> None:
    assert program.json("dags", "list") == [
        {
            "dag_id": "sales",
            "is_paused": False,
            "next_run": "2026-01-03T06:00:00.000000+00:00",
            "file": "sales.py",
            "tags": ["daily"],
            "owner": "ada",
        }
    ]


def test_nothing_to_list_is_an_empty_list_for_programs_and_a_word_for_people(program: Any) -> None:
    assert program.json("dags", "list") == []
    assert program("dags", "list").stderr == "Nothing to show.\n"


def test_runs_are_listed_with_the_promised_fields_newest_first(program: Any, sales: Any) -> None:
    sales.run(1, "sales", "later", "queued")

    later, first = program.json("dags", "list-runs", "sales")

    assert list(first) == ["run_id", "state", "run_type", "logical_date", "run_after", "start_date", "end_date"]
    assert (first["run_id"], first["state"], first["run_type"]) == (RUN, "failed", "manual")
    assert later["run_id"] == "later"
    assert [run["run_id"] for run in program.json("dags", "list-runs", "sales", "--limit", "1")] == ["later"]
    assert [run["run_id"] for run in program.json("dags", "list-runs", "sales", "--state", "failed")] == [RUN]


@pytest.mark.usefixtures("sales")
def test_one_run_is_shown_with_its_tasks_by_state(program: Any) -> None:
    shown = program.json("runs", "show", "sales", RUN)
    assert (shown["dag_id"], shown["run_id"], shown["state"], shown["conf"]) == ("sales", RUN, "failed", {})
    assert shown["tasks"] == {"success": 3, "failed": 1}
    assert "3 success, 1 failed" in program.ok("runs", "show", "sales", RUN)
    assert "Did you mean" in program.refused("runs", "show", "sales", RUN[:-1])
    assert program.json("runs", "list", "sales") == program.json("dags", "list-runs", "sales")


def test_states_of_a_run_are_listed_with_the_promised_fields(program: Any, sales: Any) -> None:
    rows = program.json("tasks", "states-for-dag-run", "sales", RUN)

    assert [(row["task_id"], row["state"]) for row in rows] == [
        ("extract", "success"),
        ("tidy.clean", "success"),
        ("tidy.check", "success"),
        ("load", "failed"),
    ]
    assert list(rows[0]) == [
        "task_id",
        "map_index",
        "state",
        "try_number",
        "start_date",
        "end_date",
        "instances",
    ]
    assert rows[0]["map_index"] == -1
    assert program.ok("tasks", "state", "sales", RUN, "load") == "failed\n"


def test_the_next_executions_are_shown_in_utc(program: Any, sales: Any) -> None:
    rows = program.json("dags", "next-execution", "sales", "-n", "2", "--after", "2026-03-01")

    assert [row["run_after"] for row in rows] == [
        "2026-03-01T06:00:00.000000+00:00",
        "2026-03-02T06:00:00.000000+00:00",
    ]
    assert list(rows[0]) == ["run_after", "logical_date", "data_interval_start", "data_interval_end"]


def test_import_errors_are_listed_with_the_promised_fields(program: Any, database: Database) -> None:
    values = {"file": "bad.py", "line": 3, "message": "SyntaxError", "created_at": parse_iso("2026-01-01")}
    database.write(lambda c: c.execute(tables.import_error.insert().values(**values)))

    assert program.json("dags", "list-import-errors") == [{"file": "bad.py", "line": 3, "message": "SyntaxError"}]


def test_a_graph_is_drawn_as_a_tree_in_dot_and_in_mermaid(program: Any, sales: Any) -> None:
    assert program.ok("dags", "show", "sales").splitlines() == [
        "sales",
        "└── extract [BashOperator]",
        "    ├── tidy.check [BashOperator]",
        "    │   └── load [BashOperator]",
        "    └── tidy.clean [BashOperator]",
        "        └── load (see above)",
    ]
    assert '"extract" -> "tidy.check"' in program.ok("dags", "show", "sales", "--dot")
    assert "subgraph" in program.ok("dags", "show", "sales", "--mermaid")


def test_a_graph_comes_with_a_warning_of_pools_that_nobody_made(program: Any, sales: Any, database: Database) -> None:
    with DAG("copies", schedule=None) as dag:
        BashOperator(task_id="copy", bash_command="true", pool="default_pol")
    document = dumps(encode(dag))
    version = tables.dag_version.c.id == sales.dag("copies")
    database.write(lambda c: c.execute(update(tables.dag_version).values(document=document).where(version)))
    told = program("dags", "show", "copies").stderr
    assert told.startswith("Warning: The pool 'default_pol' does not exist, so the task 'copy' waits for ever. Did you")
    assert program("dags", "show", "sales").stderr == ""


def test_details_and_tasks_come_from_the_newest_version(program: Any, sales: Any) -> None:
    details = program.json("dags", "details", "sales")
    (extract, *_) = program.json("tasks", "list", "sales")

    assert (details["schedule"], details["timezone"], details["catchup"]) == ("0 6 * * *", "UTC", False)
    assert details["start_date"] == "2026-01-01T00:00:00.000000+00:00"
    assert (extract["task_id"], extract["operator"], extract["retries"]) == ("extract", "BashOperator", 2)


def test_xcoms_are_listed_and_printed(program: Any, sales: Any) -> None:
    (row,) = program.json("xcoms", "list", "sales", RUN)

    assert (row["task_id"], row["key"], row["value"]) == ("load", "result", {"rows": 3})
    assert program.ok("xcoms", "get", "sales", RUN, "load", "--key", "result") == '{\n  "rows": 3\n}\n'
    assert "Did you mean 'result'?" in program.refused("xcoms", "get", "sales", RUN, "load", "--key", "results")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dags", "details", "salse"], "There is no DAG 'salse'. Did you mean 'sales'?"),
        (["dags", "list-runs", "salse"], "There is no DAG 'salse'. Did you mean 'sales'?"),
        (["dags", "trigger", "salse"], "There is no DAG 'salse'. Did you mean 'sales'?"),
        (["dags", "pause", "salse"], "There is no DAG 'salse'. Did you mean 'sales'?"),
        (["tasks", "states-for-dag-run", "sales", "manual__2026-01-03"], f"Did you mean '{RUN}'?"),
        (["tasks", "state", "sales", RUN, "lod"], "There is no task 'lod'. Did you mean 'load'?"),
        (["tasks", "state", "sales", RUN, "load", "--map-index", "3"], "The task 'load' has no instances"),
        (["tasks", "logs", "sales", RUN, "load", "--try", "9"], "it has begun 2 tries."),
        (
            ["tasks", "clear", "sales", "--run", RUN, "--task", "lod$"],
            "no task that matches 'lod$'. Did you mean 'load'",
        ),
        (["tasks", "clear", "sales", "--group", "tidi"], "There is no task group 'tidi'. Did you mean 'tidy'?"),
        (["tasks", "clear", "sales", "--task", "("], "'(' is no regular expression"),
        (["tasks", "mark", "sales", "lod", "--run", RUN, "--state", "failed"], "no task 'lod'. Did you mean 'load'?"),
        (["runs", "stop", "sales", "manual__2026-01-03"], f"Did you mean '{RUN}'?"),
        (["runs", "rerun", "salse", RUN], "There is no DAG 'salse'. Did you mean 'sales'?"),
        (["why", "sales", RUN, "lod"], "There is no task 'lod'. Did you mean 'load'?"),
    ],
)
def test_an_unknown_id_is_one_line_with_the_nearest(program: Any, sales: Any, arguments: list[str], told: str) -> None:
    assert told in program.refused(*arguments)


def test_a_trigger_queues_a_run_and_prints_it(program: Any, sales: Any) -> None:
    run = program.json("dags", "trigger", "sales", "--run-id", "mine", "--conf", '{"a": 1}')

    assert list(run) == ["run_id", "state", "run_type", "logical_date", "run_after", "start_date", "end_date"]
    assert (run["run_id"], run["state"], run["run_type"]) == ("mine", "queued", "manual")
    states = program.json("tasks", "states-for-dag-run", "sales", "mine")
    assert {row["state"] for row in states} == {"none"}


def test_a_trigger_of_a_paused_dag_queues_the_run_and_warns(program: Any, sales: Any) -> None:
    program.ok("dags", "pause", "sales")

    result = program("dags", "trigger", "sales", "--output", "json")

    assert result.exit_code == 0
    assert "is paused" in result.stderr
    assert program.json("dags", "list")[0]["is_paused"] is True
    program.ok("dags", "unpause", "sales")
    assert program.json("dags", "list")[0]["is_paused"] is False


def test_a_naive_logical_date_is_in_the_zone_of_the_dag(program: Any, sales: Any) -> None:
    run = program.json("dags", "trigger", "sales", "--logical-date", "2026-05-01T12:00:00")

    assert run["logical_date"] == "2026-05-01T12:00:00.000000+00:00"


def test_a_clear_shows_what_it_would_do_and_does_nothing_unasked(program: Any, sales: Any) -> None:
    result = program("tasks", "clear", "sales", "--run", RUN, "--task", "tidy.clean", "--downstream")

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert "tidy.clean" in result.stdout
    assert "load" in result.stdout
    assert "extract" not in result.stdout
    assert program.ok("tasks", "state", "sales", RUN, "load") == "failed\n"


def test_a_clear_that_is_confirmed_clears_the_task_and_what_is_below(program: Any, sales: Any) -> None:
    program.ok("tasks", "clear", "sales", "--run", RUN, "--task", "tidy.clean", "--downstream", "--yes")

    rows = program.json("tasks", "states-for-dag-run", "sales", RUN)
    assert [row["state"] for row in rows] == ["success", "none", "success", "none"]
    assert program.json("dags", "list-runs", "sales")[0]["state"] == "queued"


def test_why_tells_in_one_screen_what_a_task_waits_for(program: Any, sales: Any) -> None:
    program.ok("dags", "pause", "sales")
    program.ok("dags", "trigger", "sales", "--run-id", "mine")

    answer = program.ok("why", "sales", "mine", "load")

    assert answer.splitlines()[0] == "sales mine load: none"
    assert "paused" in answer


def test_logs_print_the_last_try_or_the_one_asked_for(program: Any, sales: Any) -> None:
    folder = program.home / "logs" / "sales" / RUN / "load" / "-1"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"{number}.log").write_text(f"this is try {number}\n")

    assert program.ok("tasks", "logs", "sales", RUN, "load") == "this is try 2\n"
    assert program.ok("tasks", "logs", "sales", RUN, "load", "--try", "1") == "this is try 1\n"
    assert program.ok("tasks", "logs", "sales", RUN, "load", "--follow") == "this is try 2\n"


def test_a_dag_is_deleted_with_its_history_once_confirmed(program: Any, sales: Any) -> None:
    assert "--yes" in program.refused("dags", "delete", "sales", status=2)

    program.ok("dags", "delete", "sales", "--yes")

    assert program.json("dags", "list") == []


def test_arguments_that_are_no_text_or_no_time_we_know_are_refused(program: Any) -> None:
    assert "is not valid UTF-8" in program.refused("variables", "set", "k", "v\udcff", status=2)
    late = program.refused("dags", "trigger", "d", "--logical-date", "9999-12-31T23:59:59-12:00", status=2)
    assert "lies outside the years 2 to 9998" in late
    assert "nested too deeply" in program.refused("dags", "trigger", "d", "--conf", "[" * 100_000, status=2)


def test_a_mapped_task_is_one_line_unless_its_instances_are_asked_for(program: Any, sales: Any) -> None:
    run = sales.run(sales.dag("many"), "many", "r1")
    for index in range(12):
        sales.task(run, "work", "failed" if index == 3 else "success", map_index=index)

    (line,) = program.json("tasks", "states-for-dag-run", "many", "r1")
    assert (line["state"], line["instances"]) == ("failed", "1 failed, 11 success")
    failed = program.json("tasks", "states-for-dag-run", "many", "r1", "--instances", "--state", "failed")
    assert [row["map_index"] for row in failed] == [3]


@pytest.fixture
def many(sales: Any) -> Any:
    run = sales.run(sales.dag("many"), "many", "r1")
    for index in range(12):
        sales.task(run, "work", "failed" if index == 3 else "success", map_index=index)
    return run


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("command", "index", "told"),
    [
        (("tasks", "state"), "-1", "The task 'work' has 12 instances: say which with --map-index, from 0 to 11."),
        (("tasks", "logs"), "-1", "say which with --map-index, from 0 to 11."),
        (("tasks", "attempts"), "12", "The task 'work' has no instance 12: its map indexes go from 0 to 11."),
        (("why",), "12", "its map indexes go from 0 to 11."),
    ],
)
def test_an_instance_of_a_mapped_task_has_to_be_named_and_be_there(
    program: Any, command: tuple[str, ...], index: str, told: str
) -> None:
    assert told in program.refused(*command, "many", "r1", "work", "--map-index", index)


def test_instances_of_the_tasks_of_a_mapped_group_are_listed_task_by_task(program: Any, sales: Any) -> None:
    run = sales.run(sales.dag("grouped"), "grouped", "r1")
    for index in range(2):
        for task_id in ("each.first", "each.second"):
            sales.task(run, task_id, map_index=index)
    rows = program.json("tasks", "states-for-dag-run", "grouped", "r1", "--instances")
    assert [(row["task_id"], row["map_index"]) for row in rows] == [
        ("each.first", 0),
        ("each.first", 1),
        ("each.second", 0),
        ("each.second", 1),
    ]


def test_a_log_that_ends_well_although_what_the_task_asked_for_was_refused(program: Any, sales: Any) -> None:
    run = sales.run(sales.dag("asks"), "asks", "r1")
    task = sales.task(run, "ask", "failed", try_number=1)
    sales.attempt(run, task, "refused", "failed", exit_code=0, reason="There is no DAG 'gaet'.")
    folder = program.home / "logs" / "asks" / "r1" / "ask" / "-1"
    folder.mkdir(parents=True)
    (folder / "1.log").write_text("*** ended success\n")
    result = program("tasks", "logs", "asks", "r1", "ask")
    assert result.stdout == "*** ended success\n"
    assert result.stderr == "*** failed after the end of its process: There is no DAG 'gaet'.\n"


@pytest.mark.usefixtures("many")
def test_why_answers_for_a_mapped_task_by_the_instance_that_tells_most(program: Any) -> None:
    answer = program.json("why", "many", "r1", "work")
    assert answer["state"] == "failed"
    assert answer["details"][0] == "This is the instance 3 of 12: 1 failed, 11 success."


@pytest.mark.usefixtures("many")
def test_a_table_of_xcoms_shows_the_beginning_of_a_long_value_and_data_all_of_it(program: Any, sales: Any) -> None:
    run = sales.run(sales.dag("long"), "long", "r1")
    sales.xcom(run, sales.task(run, "work"), "work", json.dumps(list(range(1000))))
    assert "… (4,890 characters)" in program.ok("xcoms", "list", "long", "r1")
    assert program.json("xcoms", "list", "long", "r1")[0]["value"] == list(range(1000))
