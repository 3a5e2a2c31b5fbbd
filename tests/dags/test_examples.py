"""Every example runs, and the weather pipeline computes what the file of observations says."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import clockmill.dags
from clockmill import DAG
from clockmill.model.loader import load_dags

FOLDER = Path(clockmill.dags.__file__).parent
FILES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
Row = tuple[Any, ...]
Reader = Callable[[Path], list[Row]]
DAYS = [date(2012, 1, 1) + timedelta(days=number) for number in range(31)]


def load(name: str) -> DAG:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the classic ETL is written the old way on purpose
        (dag,) = load_dags(FOLDER / f"{name}.py", f"example_{name}", FOLDER)
    return dag


def states(run: Any) -> dict[str, str]:
    return {each.task_id: str(each.state) for each in run.get_task_instances()}


@pytest.fixture(autouse=True)
def weather_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEATHER_DATABASE", str(tmp_path / "weather.db"))
    return tmp_path / "weather.db"


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_example_succeeds(name: str) -> None:
    due = datetime(2012, 1, 2, tzinfo=UTC)
    assert load(name).test(run_after=due).state == "success"


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_every_example_but_the_heartbeat_starts_paused(name: str) -> None:
    assert load(name).is_paused_upon_creation is (name != "heartbeat")


def test_the_old_name_of_a_schedule_is_taken_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="schedule_interval"):
        load_dags(FOLDER / "etl_pipeline.py", "example_warns", FOLDER)


def test_the_mapping_example_finds_out_how_much_there_is_to_do() -> None:
    run = load("mapping").test(run_conf={"stations": ["north", "west"]})
    assert [each.label for each in run.get_task_instances("measure")] == [
        "north, day 1", "north, day 2", "west, day 1", "west, day 2"
    ]  # fmt: skip
    assert run.xcom_pull("summarise") == {"number": 4, "highest": 52}
    assert [str(each.state) for each in run.get_task_instances("report")] == [
        "success",
        "success",
        "skipped",
        "skipped",
    ]
    assert run.xcom_pull("publish") == ["north-a+2, north-b+2", "west-a+2"]


@pytest.mark.parametrize("breaks", [False, True])
def test_the_teardown_of_the_example_runs_also_when_the_work_fails(breaks: bool) -> None:
    run = load("setup_teardown").test(run_conf={"breaks": breaks})
    assert states(run)["delete_cluster"] == "success"
    assert (run.state, states(run)["report"]) == (("failed", "upstream_failed") if breaks else ("success", "success"))


@pytest.mark.parametrize(("amount", "followed", "left"), [(5, "accept", "review"), (5000, "review", "accept")])
def test_the_branch_follows_one_way_and_skips_the_other(amount: int, followed: str, left: str) -> None:
    ended = states(load("branching").test(run_conf={"amount": amount}))
    assert (ended[followed], ended[left], ended["join"]) == ("success", "skipped", "success")


def test_a_closed_gate_skips_what_is_below() -> None:
    ended = states(load("branching").test(run_conf={"amount": 0}))
    assert (ended["is_worth_a_letter"], ended["send_letter"]) == ("success", "skipped")


def test_xcoms_come_back_as_what_they_were(capfd: pytest.CaptureFixture[str]) -> None:
    load("xcoms").test()
    assert "90.00 net of 99.90, due 2024-03-01, reminders on [1, 15]" in "".join(capfd.readouterr())


def test_templates_are_filled_in_from_fields_and_files(capfd: pytest.CaptureFixture[str]) -> None:
    load("templating").test(logical_date=datetime(2024, 2, 28, tzinfo=UTC))
    shown = "".join(capfd.readouterr())
    assert "hello WORLD, the day after 2024-02-28 is 2024-02-29" in shown
    assert "hello WORLD on 2024-02-28" in shown
    assert "has 51 characters" in shown


def test_the_classic_etl_hands_its_values_on(capfd: pytest.CaptureFixture[str]) -> None:
    load("etl_pipeline").test()
    shown = "".join(capfd.readouterr())
    assert "Loading 430.75 EUR" in shown
    assert "Loading 80.00 USD" in shown


def run_days(days: list[date]) -> list[Any]:
    dag = load("weather_pipeline")
    midnights = [datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) for day in days]
    return [dag.test(run_after=midnight) for midnight in midnights]


def test_the_weather_table_is_what_the_file_says(
    weather_database: Path, stored_rows: Reader, expected_rows: list[Row]
) -> None:
    runs = run_days(DAYS)
    assert {run.state for run in runs} == {"success"}
    assert stored_rows(weather_database) == expected_rows


def test_running_a_day_again_changes_nothing(weather_database: Path, stored_rows: Reader) -> None:
    run_days(DAYS[:2])
    before = stored_rows(weather_database)
    run_days(DAYS[1::-1])
    assert stored_rows(weather_database) == before


def test_without_a_path_of_its_own_the_table_is_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored_rows: Reader, expected_rows: list[Row]
) -> None:
    monkeypatch.delenv("WEATHER_DATABASE")
    monkeypatch.setenv("CLOCKMILL_HOME", str(tmp_path / "home"))
    run_days(DAYS[:1])
    assert stored_rows(tmp_path / "home" / "output" / "weather.db") == expected_rows[:1]


def test_a_day_without_an_observation_is_skipped(weather_database: Path) -> None:
    (run,) = run_days([date(2016, 1, 1)])
    assert states(run) == dict.fromkeys(["extract", "validate", "aggregate", "load", "report"], "skipped")
    assert not weather_database.exists()


def test_catch_up_makes_one_run_for_each_day_of_the_range() -> None:
    dag = load("weather_pipeline")
    ticks = list(dag.timetable.ticks_between(datetime(2011, 12, 1, tzinfo=UTC), datetime(2013, 1, 1, tzinfo=UTC)))
    bounded = [tick for tick in ticks if dag.start_date <= tick.logical_date <= dag.end_date]
    assert [tick.start.date() for tick in bounded] == DAYS
    assert (dag.catchup, dag.max_active_runs) == (True, 4)
