"""Pools on the pages: how full they are, who holds their slots, and the forms that change them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from clockmill.cli.steering import WebActions
from clockmill.storage.engine import Database
from clockmill.storage.pools import get_pool

from .reading import hidden, words

EVIL = '"><script>alert(1)</script>'


@pytest.fixture
def noted(database: Database, clock: Any, tmp_path: Path) -> WebActions:
    """The real actions in place of those that only take notes."""
    return WebActions(database, clock, tmp_path / "run")


@pytest.fixture
def warehouse(seed: Any) -> int:
    """A pool of which a running, a queued and a deferred task hold slots, and a fourth task wants two."""
    seed.pool("warehouse", 4, description="The vendor allows four", include_deferred=True)
    seed.dag("weather", {"a": [], "b": [], "c": [], "d": []})
    run: int = seed.run("weather", "one", "running")
    seed.attempt(run, seed.task(run, "a", "running", pool="warehouse"), state="running", pool="warehouse", pool_slots=2)
    seed.attempt(run, seed.task(run, "b", "queued", pool="warehouse"), state="queued", pool="warehouse")
    seed.wait(run, seed.task(run, "c", "deferred", map_index=3, pool="warehouse"), pool="warehouse")
    seed.task(run, "d", "scheduled", pool="warehouse", pool_slots=2)
    return run


@pytest.mark.usefixtures("warehouse")
def test_the_list_tells_how_full_each_pool_is(client: FlaskClient) -> None:
    text = words(client.get("/pools"))

    assert re.search(r"warehouse The vendor allows four 4 of 4 full 2 1 1 2 ", text)
    assert re.search(r"default_pool .*?0 of 128 – – – –", text)


@pytest.mark.usefixtures("warehouse")
def test_a_pool_tells_who_holds_its_slots(client: FlaskClient) -> None:
    answer = client.get("/pools/warehouse")

    assert "4 of 4 slots in use" in words(answer)
    assert 'href="/dags/weather/runs/one/tasks/c?map_index=3"' in answer.text
    assert re.search(r"a weather one queued or running 2", words(answer))
    assert re.search(r"c \[3\] weather one deferred 1 5 min ago", words(answer))
    assert "Nobody: all of its slots are open." in words(client.get("/pools/default_pool"))


@pytest.mark.usefixtures("warehouse")
def test_slots_are_changed_and_a_smaller_pool_empties(client: FlaskClient, database: Database) -> None:
    token = hidden(client.get("/pools/warehouse").text)

    answer = client.post("/pools/warehouse", data={**token, "slots": "1", "description": "Less"})

    assert answer.headers["Location"] == "/pools/warehouse"
    found = database.read(lambda c: get_pool(c, "warehouse"))
    assert (found.slots, found.description, found.include_deferred) == (1, "Less", False)
    assert "over by 2: it empties by and by" in words(client.get("/pools/warehouse"))


def test_a_pool_is_made_and_shown(client: FlaskClient, database: Database) -> None:
    token = hidden(client.get("/pools").text)

    answer = client.post("/pools", data={**token, "name": "a/b c", "slots": "3", "include_deferred": "1"})

    assert database.read(lambda c: get_pool(c, "a/b c")).include_deferred
    assert "0 of 3 slots in use" in words(client.get(answer.headers["Location"]))
    again = client.post("/pools", data={**token, "name": "a/b c", "slots": "9"})
    assert again.status_code == 400
    assert "is there already" in words(again)


@pytest.mark.parametrize("slots", ["", "-1", "1.5", "many", "2147483648", "9" * 30, EVIL])
def test_slots_that_make_no_sense_are_refused_and_shown_again(
    client: FlaskClient, database: Database, slots: str
) -> None:
    token = hidden(client.get("/pools").text)
    for address in ("/pools", "/pools/default_pool"):
        answer = client.post(address, data={**token, "name": "new", "slots": slots, "description": EVIL})
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
        assert "<script>alert" not in answer.text
    assert database.read(lambda c: get_pool(c, "default_pool")).slots == 128


def test_no_text_of_a_pool_becomes_markup_and_an_unknown_one_is_not_found(client: FlaskClient, seed: Any) -> None:
    seed.pool(EVIL, 1, description=EVIL)

    assert "<script>alert" not in client.get("/pools").text
    assert "<script>alert" not in client.get("/pools/%22%3E%3Cscript%3Ealert(1)%3C/script%3E").text
    assert client.get("/pools/default_poll").status_code == 404
    assert "default_pool" in client.get("/pools/default_poll").text
