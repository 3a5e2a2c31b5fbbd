import shutil
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clockmill.cli.main import cli
from clockmill.clock import SystemClock
from clockmill.protocols.workers import WorkerInfo
from clockmill.storage import components
from clockmill.storage.engine import Database
from clockmill.storage.workers import give_up, register_worker


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--home", str(home), *arguments])


def test_check_names_what_to_do_while_there_is_no_database(tmp_path: Path) -> None:
    result = run(tmp_path, "db", "check")

    assert result.exit_code == 1
    assert result.stderr == (
        f"clockmill: There is no database {tmp_path / 'clockmill.db'} yet: run clockmill standalone, "
        "or clockmill db migrate.\n"
    )


def test_migrate_makes_the_home_and_its_database_and_check_is_content(tmp_path: Path) -> None:
    home = tmp_path / "home"

    first, second, check = run(home, "db", "migrate"), run(home, "db", "migrate"), run(home, "db", "check")

    assert "The schema went from revision base to" in first.stdout
    assert "already" in second.stdout
    assert check.exit_code == 0
    assert "its schema fits" in check.stdout
    assert (home / "clockmill.db").exists()
    assert (home / "clockmill.toml").exists()


def test_downgrade_copies_the_file_aside_and_check_then_asks_for_a_migration(tmp_path: Path) -> None:
    run(tmp_path, "db", "migrate")

    result = run(tmp_path, "db", "downgrade", "0001", "--yes")

    assert result.exit_code == 0
    assert len(list(tmp_path.glob("clockmill.db.*.bak"))) == 1
    assert "run clockmill db migrate" in run(tmp_path, "db", "check").stderr


@pytest.mark.parametrize("verb", [["reset"], ["downgrade", "0001"]])
def test_what_loses_data_is_not_done_unasked(tmp_path: Path, verb: list[str]) -> None:
    run(tmp_path, "db", "migrate")

    result = run(tmp_path, "db", *verb)

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert run(tmp_path, "db", "check").exit_code == 0


def test_reset_leaves_a_fresh_database(tmp_path: Path) -> None:
    run(tmp_path, "db", "migrate")

    assert run(tmp_path, "db", "reset", "--yes").exit_code == 0
    assert run(tmp_path, "db", "check").exit_code == 0


def test_an_unknown_revision_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    run(tmp_path, "db", "migrate")

    result = run(tmp_path, "db", "downgrade", "001", "--yes")

    assert result.exit_code == 1
    assert "Did you mean '0001'?" in result.stderr


def test_info_tells_where_everything_is_even_without_a_database(tmp_path: Path) -> None:
    result = run(tmp_path, "info", "--output", "json")

    assert result.exit_code == 0
    assert f'"home": "{tmp_path}"' in result.stdout
    assert "There is no database" in result.stdout


@pytest.mark.parametrize("verb", [["reset"], ["downgrade", "0001"]])
def test_what_loses_data_is_not_done_under_a_running_service(
    tmp_path: Path, sqlite_template: Path, verb: list[str]
) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "clockmill.db")
    clock = SystemClock()
    worker = WorkerInfo(id="w1", executor="celery", host="h", boot_id="b", pid=7, slots=1, queues=["q"], version="1")
    with closing(Database(f"sqlite:///{tmp_path / 'clockmill.db'}")) as database:
        database.write(lambda c: components.beat(c, "scheduler", "one", clock.now(), period_seconds=5))
        database.write(lambda c: register_worker(c, worker, clock.now()))

        refused = run(tmp_path, "db", *verb, "--yes")
        database.write(lambda c: components.leave(c, "scheduler", "one"))
        by_worker = run(tmp_path, "db", *verb, "--yes")
        database.write(lambda c: give_up(c, "w1", "It left."))

    assert refused.exit_code == by_worker.exit_code == 1
    assert "in use by scheduler (process" in refused.stderr
    assert "in use by worker w1 (process 7 on h): stop that first." in by_worker.stderr
    assert run(tmp_path, "db", *verb, "--yes").exit_code == 0


def test_migrate_names_what_was_not_stopped_before(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copyfile(sqlite_template, tmp_path / "clockmill.db")
    run(tmp_path, "db", "downgrade", "0003", "--yes")
    with closing(Database(f"sqlite:///{tmp_path / 'clockmill.db'}")) as database:
        database.write(lambda c: components.beat(c, "scheduler", "one", SystemClock().now(), period_seconds=5))

    done = run(tmp_path, "db", "migrate")

    assert done.exit_code == 0
    assert "These were at work meanwhile, with the older tables; start them again: scheduler (process" in done.stderr
    assert run(tmp_path, "db", "migrate").stderr == ""
