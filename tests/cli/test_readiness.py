"""A service that is started before its database waits for it, and says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from clockmill import config
from clockmill.cli import wiring, worker_wiring
from clockmill.cli.readiness import await_database
from clockmill.config import Settings
from clockmill.errors import SchemaMismatch
from clockmill.migrations import runner
from clockmill.storage.engine import Database, DatabaseUnavailable
from clockmill.testing import FakeClock


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = config.load(tmp_path, environ={})
    config.create_home(made)
    return made


class Patience(FakeClock):
    """Lets something happen instead of the last wait."""

    def __init__(self, waits: int, then: Callable[[], object]) -> None:
        super().__init__()
        self._left, self._then = waits, then

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._left -= 1
        if not self._left:
            self._then()


def test_it_says_once_what_is_missing_and_goes_on_when_it_is_there(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(settings.database_url)

    found = await_database(settings, Patience(3, lambda: runner.upgrade(database)))

    database.close()
    assert found is not None
    found.close()
    told = capsys.readouterr().err
    assert told.count("run clockmill standalone, or clockmill db migrate. Waiting for that.") == 1


def test_a_worker_that_asks_the_database_itself_waits_for_it_too(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Database(settings.database_url)
    _, spec = worker_wiring.task_gateway(settings, Patience(2, lambda: runner.upgrade(database)))
    database.close()
    assert spec["url"] == settings.database_url
    assert "Waiting for that." in capsys.readouterr().err


def test_for_a_schema_of_a_newer_program_it_does_not_wait(settings: Settings) -> None:
    database = Database(settings.database_url)
    runner.upgrade(database)
    database.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    database.close()

    with pytest.raises(SchemaMismatch, match="newer Clockmill"):
        await_database(settings, Patience(1, lambda: pytest.fail("it waits")))


def test_a_scheduler_of_which_the_database_goes_away_while_it_begins_waits_for_it(settings: Settings) -> None:
    class Restarted(Database):
        is_away = False

        def read(self, work: Callable[..., Any]) -> Any:
            if self.is_away:
                raise DatabaseUnavailable("It is restarted.")
            return super().read(work)

    database = Restarted(settings.database_url)
    runner.upgrade(database)
    database.is_away = True
    executors, _ = wiring.make_executors(settings, database, Patience(2, lambda: setattr(database, "is_away", False)))
    assert list(executors) == ["local"]
    executors["local"].detach()
    database.close()
