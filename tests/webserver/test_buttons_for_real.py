"""The buttons wired to the actions that the program wires them to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from clockmill.cli.steering import WebActions
from clockmill.storage.engine import Database
from clockmill.storage.tables import dag, dag_run


@pytest.fixture
def noted(database: Database, clock: Any, tmp_path: Path) -> WebActions:
    """The real actions in place of those that only take notes."""
    return WebActions(database, clock, tmp_path / "run")


def press(client: FlaskClient, page: str, target: str, **fields: Any) -> str:
    """Send a form of ``page`` to ``target``; returns the page that it leads to."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert found, page
    return client.post(target, data={"csrf_token": found.group(1), **fields}, follow_redirects=True).text


def test_a_trigger_queues_a_run_with_its_configuration(client: FlaskClient, seed: Any, database: Database) -> None:
    seed.dag("weather", {"extract": [], "load": ["extract"]})

    page = press(client, "/dags/weather/trigger", "/dags/weather/trigger", conf='{"station": "ZRH"}')

    run = database.read(lambda c: c.execute(select(dag_run)).one())
    assert (run.state, run.conf, run.created_by) == ("queued", {"station": "ZRH"}, "web")
    assert run.run_id in page
    assert re.findall(r'name="task" value="(\w+)"', page) == ["extract", "load"]


def test_a_run_id_that_is_taken_shows_the_run_that_has_it(client: FlaskClient, seed: Any, database: Database) -> None:
    seed.dag("weather")
    seed.run("weather", "mine")

    page = press(client, "/dags/weather/trigger", "/dags/weather/trigger", run_id="mine")

    assert '<h1 class="mono">mine</h1>' in page
    assert len(database.read(lambda c: c.execute(select(dag_run)).all())) == 1


def test_the_switch_pauses_and_lets_go_on(client: FlaskClient, seed: Any, database: Database) -> None:
    seed.dag("weather")

    def is_paused() -> bool:
        return bool(database.read(lambda c: c.execute(select(dag.c.is_paused)).scalar_one()))

    assert "is paused: no new run starts" in press(client, "/dags/weather", "/dags/weather/pause")
    assert is_paused()
    assert "is active again" in press(client, "/dags/weather", "/dags/weather/unpause")
    assert not is_paused()
