"""What the buttons do, and what they say when it cannot be done."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from clockmill.errors import Conflict


@pytest.fixture
def weather(seed: Any) -> None:
    """A DAG with a run."""
    seed.component("scheduler")
    seed.component("dag-processor")
    seed.dag("weather", {"extract": [], "load": ["extract"]})
    run = seed.run("weather", "one", "failed")
    seed.task(run, "extract", "failed", try_number=1)
    seed.task(run, "load", "upstream_failed")


def press(client: FlaskClient, page: str, target: str, **fields: Any) -> TestResponse:
    """Load ``page`` and send one of its forms to ``target``."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert found, page
    return client.post(target, data={"csrf_token": found.group(1), **fields})


@pytest.mark.usefixtures("weather")
def test_the_switch_pauses_and_the_page_says_so(client: FlaskClient, noted: Any) -> None:
    fields = {"from": "list", "q": "wea", "show": "", "after": ""}

    answer = press(client, "/dags?q=wea", "/dags/weather/pause", **fields)

    assert noted.calls == [("set_paused", "weather", True)]
    assert answer.headers["Location"] == "/dags?q=wea"
    assert "weather is paused: no new run starts." in client.get("/dags").text
    assert "no new run starts" not in client.get("/dags").text


@pytest.mark.usefixtures("weather")
def test_where_a_form_leads_is_never_taken_from_the_form(client: FlaskClient) -> None:
    answer = press(client, "/dags", "/dags/weather/pause", **{"from": "//evil.example", "next": "//evil.example"})

    assert answer.headers["Location"] == "/dags/weather"


@pytest.mark.usefixtures("weather")
def test_a_trigger_passes_the_configuration_and_shows_the_run(client: FlaskClient, noted: Any) -> None:
    answer = press(client, "/dags/weather/trigger", "/dags/weather/trigger", conf='{"station": "ZRH"}', run_id="mine")

    assert noted.calls == [("trigger", "weather", {"station": "ZRH"}, "mine")]
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/dags/weather/runs/mine"


@pytest.mark.usefixtures("weather")
def test_a_trigger_without_anything_takes_the_defaults(client: FlaskClient, noted: Any) -> None:
    page = client.get("/dags/weather/trigger").text
    assert "station" in page
    assert "Which station" in page

    press(client, "/dags/weather/trigger", "/dags/weather/trigger", conf=" ", run_id="")

    assert noted.calls == [("trigger", "weather", {}, None)]


@pytest.mark.usefixtures("weather")
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"conf": '{"a": '}, "no JSON: Expecting value in line 1, column 6"),
        ({"conf": "[1]"}, "must be a JSON object"),
        ({"conf": '{"a": NaN}'}, "holds NaN"),
        ({"conf": '{"a":' * 9000}, "The configuration is"),
        ({"conf": '{"a": ' + "9" * 5000 + "}"}, "The configuration cannot be read"),
        ({"run_id": "../x"}, "may hold only"),
        ({"run_id": "r" * 260}, "at most 250 are allowed"),
    ],
)
def test_a_mistake_shows_the_form_again_with_a_reason(
    client: FlaskClient, noted: Any, fields: dict[str, str], sentence: str
) -> None:
    answer = press(client, "/dags/weather/trigger", "/dags/weather/trigger", **fields)

    assert answer.status_code == 400
    assert sentence in answer.text
    assert noted.calls == []


@pytest.mark.usefixtures("weather")
def test_what_was_typed_is_kept_when_the_trigger_is_refused(client: FlaskClient, noted: Any) -> None:
    noted.refusal = Conflict("The run 'mine' exists already.")

    answer = press(client, "/dags/weather/trigger", "/dags/weather/trigger", conf='{"a": 1}', run_id="mine")

    assert answer.status_code == 400
    assert "The run &#39;mine&#39; exists already." in answer.text
    assert "{&#34;a&#34;: 1}</textarea>" in answer.text
    assert 'value="mine"' in answer.text


def test_triggering_a_paused_dag_warns_before_and_after(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", is_paused=True)
    seed.run("weather", "mine", "queued")
    assert "will wait in the queue until you unpause" in client.get("/dags/weather/trigger").text

    press(client, "/dags/weather/trigger", "/dags/weather/trigger", run_id="mine")

    assert "waits in the queue until you unpause" in client.get("/dags/weather/runs/mine").text
