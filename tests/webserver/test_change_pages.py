"""Clear, mark, stop and run again on the pages: the preview shows it, and exactly that is done or nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from clockmill.cli.steering import WebActions
from clockmill.storage.engine import Database
from clockmill.storage.tables import dag_run, event, task_instance

RUN = "/dags/weather/runs/one"


@pytest.fixture
def noted(database: Database, clock: Any, tmp_path: Path) -> WebActions:
    """The real actions in place of those that only take notes."""
    return WebActions(database, clock, tmp_path / "run")


@pytest.fixture
def weather(seed: Any) -> int:
    """A failed run: what failed, what could not run because of it, and what succeeded."""
    seed.dag("weather", {"extract": [], "load": ["extract"], "other": []})
    run: int = seed.run("weather", "one", "failed")
    seed.task(run, "extract", "failed", try_number=1)
    seed.task(run, "load", "upstream_failed")
    seed.task(run, "other", "success", try_number=1)
    return run


def rows(client: FlaskClient, address: str) -> list[tuple[str, str]]:
    """What a preview lists: the task, and what becomes of it."""
    text = client.get(address).text
    return re.findall(r'<td class="main mono">(?:<span class="faint">)?([^<]+)<.*?data-label="Then">([^<]+)<', text)


def press(client: FlaskClient, address: str) -> TestResponse:
    """Press the button of a preview."""
    text = client.get(address).text
    form = re.search(r'<form method="post" action="([^"]+)">(.*?)</form>', text, re.DOTALL)
    assert form, text
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form.group(2)):
        fields.setdefault(name, []).append(value)
    return client.post(form.group(1), data=fields)


def states(database: Database) -> dict[str, str]:
    found = database.read(lambda c: c.execute(select(task_instance.c.task_id, task_instance.c.state)).all())
    run = database.read(lambda c: c.execute(select(dag_run.c.state)).scalar_one())
    return {row.task_id: row.state for row in found} | {"the run": run}


@pytest.mark.usefixtures("weather")
def test_a_clear_is_shown_first_and_then_does_exactly_that(client: FlaskClient, database: Database) -> None:
    address = f"{RUN}/clear?task=extract"
    assert "Clear 2 tasks and run again?" in client.get(address).text
    assert rows(client, address) == [
        ("the run", "queued"),
        ("extract", "runs again"),
        ("load", "is decided again"),
    ]
    assert states(database)["extract"] == "failed"

    answer = press(client, address)

    assert answer.headers["Location"] == RUN
    assert "Cleared 2 tasks" in client.get(RUN).text
    assert states(database) == {"extract": "none", "load": "none", "other": "success", "the run": "queued"}


@pytest.mark.usefixtures("weather")
def test_a_clear_can_leave_out_what_is_downstream(client: FlaskClient) -> None:
    address = f"{RUN}/clear?task=extract&downstream=0"
    assert [task for task, _ in rows(client, address)] == ["the run", "extract"]


@pytest.mark.usefixtures("weather")
def test_a_clear_of_nothing_is_refused(client: FlaskClient) -> None:
    answer = client.get(f"{RUN}/clear")

    assert answer.status_code == 400
    assert "Choose at least one task" in answer.text


def test_a_change_that_is_no_longer_what_was_shown_is_shown_anew(
    client: FlaskClient, weather: int, database: Database
) -> None:
    text = client.get(f"{RUN}/clear?task=extract").text
    token, fingerprint = (
        re.search(f'name="{name}" value="([^"]+)"', text).group(1) for name in ("csrf_token", "fingerprint")
    )
    moved = update(task_instance).where(task_instance.c.task_id == "extract").values(try_number=2)
    database.write(lambda c: c.execute(moved))

    fields = {"csrf_token": token, "fingerprint": fingerprint, "task": "extract", "downstream": "1"}
    answer = client.post(f"{RUN}/clear", data=fields)

    assert answer.status_code == 409
    assert "something changed in between" in answer.text
    assert states(database)["extract"] == "failed"
    assert fingerprint not in answer.text


@pytest.mark.usefixtures("weather")
def test_a_task_that_is_marked_lets_what_is_below_go_on(client: FlaskClient, database: Database) -> None:
    answer = press(client, f"{RUN}/mark-success?task=extract")

    assert answer.status_code == 303
    assert states(database) == {"extract": "success", "load": "none", "other": "success", "the run": "queued"}
    kinds = database.read(lambda c: c.execute(select(event.c.kind, event.c.actor)).all())
    assert [tuple(row) for row in kinds] == [("tasks_marked", "web")]


@pytest.mark.usefixtures("weather")
def test_a_run_is_marked_as_a_whole(client: FlaskClient, database: Database) -> None:
    press(client, f"{RUN}/mark-success")

    assert set(states(database).values()) == {"success"}


@pytest.mark.usefixtures("weather")
def test_a_run_goes_on_from_where_it_failed(client: FlaskClient, database: Database) -> None:
    assert "Run again from failure" in client.get(RUN).text
    press(client, f"{RUN}/rerun")

    assert states(database) == {"extract": "none", "load": "none", "other": "success", "the run": "queued"}


def test_a_run_is_stopped(client: FlaskClient, seed: Any, database: Database) -> None:
    seed.dag("weather", {"extract": [], "load": ["extract"]})
    run = seed.run("weather", "one", "running")
    task = seed.task(run, "extract", "running", try_number=1)
    seed.attempt(run, task, state="running")
    seed.task(run, "load", "none")
    assert "Stop…" in client.get(RUN).text

    assert rows(client, f"{RUN}/stop") == [
        ("the run", "failed"),
        ("extract", "is stopped: failed"),
        ("load", "skipped"),
    ]
    press(client, f"{RUN}/stop")

    assert states(database) == {"extract": "failed", "load": "skipped", "the run": "failed"}
    assert "Stop…" not in client.get(RUN).text
    assert "Nothing would change" in client.get(f"{RUN}/stop").text


def test_one_instance_of_a_mapped_task_is_chosen_by_its_index(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": []})
    run = seed.run("weather", "one", "failed")
    for index in range(3):
        seed.task(run, "extract", "failed", map_index=index, try_number=1)

    assert 'name="task" value="extract"' in client.get(RUN).text
    assert "task=extract%5B1%5D" in client.get(f"{RUN}/tasks/extract?map_index=1").text
    assert rows(client, f"{RUN}/clear?task=extract[1]") == [("the run", "queued"), ("extract [1]", "runs again")]
    assert len(rows(client, f"{RUN}/clear?task=extract")) == 4
