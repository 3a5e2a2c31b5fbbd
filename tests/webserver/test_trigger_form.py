"""The form for a run by hand, made from the schemas of the parameters, and the same trigger as JSON."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from clockmill import Param
from clockmill.cli.steering import WebActions
from clockmill.serde import ParamDoc
from clockmill.storage.engine import Database
from clockmill.storage.tables import dag_run
from clockmill.webserver.param_fields import FieldKind, conf_from, fields_for, kind_of

PARAMS: dict[str, Any] = {
    "station": Param("ZRH", type="string", minLength=3, description="Which station."),
    "day": Param(None, type=["string", "null"], format="date"),
    "size": Param(10, type="integer", minimum=1, section="Advanced"),
    "level": Param("low", enum=["low", "high"]),
    "dry": Param(True, type="boolean"),
    "names": Param(["a", "b"], type="array", items={"type": "string"}),
    "options": Param({"x": 1}, type="object"),
}


@pytest.fixture
def noted(database: Database, clock: Any, tmp_path: Path) -> WebActions:
    """The real actions in place of those that only take notes."""
    return WebActions(database, clock, tmp_path / "run")


@pytest.fixture(autouse=True)
def forms(seed: Any) -> None:
    seed.dag("forms", {"a": []}, params=PARAMS)


def press(client: FlaskClient, fields: dict[str, str]) -> Any:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/dags/forms/trigger").text)
    assert found
    return client.post("/dags/forms/trigger", data={"csrf_token": found.group(1), **fields})


def the_run(database: Database) -> Any:
    return database.read(lambda c: c.execute(select(dag_run)).one())


UNTOUCHED = {
    "param.station": "ZRH",
    "param.day": "",
    "param.size": "10",
    "param.level": '"low"',
    "param.dry": "true",
    "param.names": "a\r\nb",
    "param.options": '{"x": 1}',
}


def test_each_parameter_has_a_field_of_its_kind_with_its_default(client: FlaskClient) -> None:
    page = html.unescape(client.get("/dags/forms/trigger").text)

    assert 'name="param.station" type="text" value="ZRH"' in page
    assert 'name="param.day" type="date"' in page
    assert '<option value=""low"" selected>low</option>' in page
    assert 'name="param.dry" value="true" checked' in page
    assert ">a\nb</textarea>" in page
    assert '<h2 class="fieldset">Advanced</h2>' in page


def test_a_form_that_was_left_as_it_is_configures_nothing(client: FlaskClient, database: Database) -> None:
    press(client, UNTOUCHED)

    assert the_run(database).conf == {}


def test_what_was_changed_is_stored_with_its_type(client: FlaskClient, database: Database) -> None:
    changed = {"param.day": "2026-02-01", "param.size": "3", "param.level": '"high"', "param.dry": "false"}
    more = {"param.names": "x", "param.options": "[]", "conf": '{"free": 1}', "note": " why "}

    answer = press(client, {**UNTOUCHED, **changed, **more, "param.options": '{"y": 2}'})

    assert answer.status_code == 303
    run = the_run(database)
    assert run.conf == {
        "day": "2026-02-01", "size": 3, "level": "high", "dry": False, "names": ["x"], "options": {"y": 2}, "free": 1
    }  # fmt: skip
    assert run.note == "why"


def test_all_mistakes_are_shown_at_once_each_at_its_field_and_what_was_typed_stays(client: FlaskClient) -> None:
    answer = press(client, {**UNTOUCHED, "param.station": "Z", "param.size": "many", "param.options": "{"})

    page = html.unescape(answer.text)
    assert answer.status_code == 400
    for sentence in ("'Z' is too short", "'many' is not of type 'integer'", "'{' is not of type 'object'"):
        assert sentence in page
    assert 'value="many"' in page


def test_a_second_trigger_with_the_same_id_shows_the_run_that_is_there(client: FlaskClient, database: Database) -> None:
    press(client, {**UNTOUCHED, "run_id": "mine"})
    answer = press(client, {**UNTOUCHED, "run_id": "mine", "param.size": "5"})

    assert answer.headers["Location"] == "/dags/forms/runs/mine"
    assert "was there already" in client.get("/dags/forms/runs/mine").text
    assert the_run(database).conf == {}


def test_a_note_is_written_and_taken_away_on_the_page_of_the_run(client: FlaskClient, database: Database) -> None:
    press(client, {**UNTOUCHED, "run_id": "mine"})
    page = client.get("/dags/forms/runs/mine").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token
    for note in ("Reran after <the> fix.", ""):
        client.post("/dags/forms/runs/mine/note", data={"csrf_token": token.group(1), "note": note})
        assert the_run(database).note == note


# --- as JSON --------------------------------------------------------------------------------------------------------


def test_a_program_triggers_a_run_and_gets_it_as_json(client: FlaskClient, database: Database) -> None:
    body = {"dag_run_id": "mine", "conf": {"size": 3}, "note": "n", "logical_date": "2026-01-02T00:00:00+00:00"}
    first = client.post("/api/v2/dags/forms/dagRuns", json=body)
    again = client.post("/api/v2/dags/forms/dagRuns", json=body)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json == again.json
    assert first.json is not None
    assert {name: first.json[name] for name in ("dag_run_id", "state", "run_type", "conf", "note")} == {
        "dag_run_id": "mine", "state": "queued", "run_type": "manual", "conf": {"size": 3}, "note": "n"
    }  # fmt: skip
    assert client.get(first.json["url"]).status_code == 200
    assert client.get("/api/v2/dags/forms/dagRuns/mine").json == first.json


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        ({"conf": {"size": 0, "station": "Z"}}, 400, "Wrong parameters: station"),
        ({"config": {}}, 400, "There is no field 'config'"),
        ([], 400, "must be a JSON object"),
        ({"conf": 1}, 400, "conf must be an object"),
        ({"logical_date": "2026-01-01"}, 400, "must say its offset"),
        ({"logical_date": 5}, 400, "must be a time"),
        ({"logical_date": "0001-01-01T00:00:00+14:00"}, 400, "must lie in the years 2 to 9998"),
        ({"logical_date": "9999-12-31T23:59:59-12:00"}, 400, "must lie in the years 2 to 9998"),
        ({"dag_run_id": "../x"}, 400, "may hold only"),
    ],
)
def test_a_program_is_told_what_is_wrong_in_json(client: FlaskClient, body: Any, code: int, sentence: str) -> None:
    answer = client.post("/api/v2/dags/forms/dagRuns", json=body)

    assert answer.status_code == code
    assert answer.json is not None
    assert sentence in answer.json["detail"]


def test_a_program_gets_the_problems_of_every_parameter(client: FlaskClient) -> None:
    answer = client.post("/api/v2/dags/forms/dagRuns", json={"conf": {"size": 0, "station": "Z"}})

    assert answer.json is not None
    assert set(answer.json["problems"]) == {"size", "station"}


def test_a_dag_that_is_not_there_is_not_found(client: FlaskClient) -> None:
    answer = client.post("/api/v2/dags/former/dagRuns", json={})

    assert answer.status_code == 404
    assert answer.json is not None
    assert "no DAG 'former'" in answer.json["detail"]


def test_a_form_of_another_site_cannot_speak_json(client: FlaskClient) -> None:
    assert client.post("/api/v2/dags/forms/dagRuns", data="{}", content_type="text/plain").status_code == 415
    foreign = {"Origin": "https://evil.example"}
    assert client.post("/api/v2/dags/forms/dagRuns", json={}, headers=foreign).status_code == 403


# --- properties -----------------------------------------------------------------------------------------------------

SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6), st.text(max_size=20)
)
DEFAULTS: st.SearchStrategy[Any] = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=5), SCALARS, max_size=3)
)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(default=DEFAULTS)
def test_the_text_of_a_default_is_read_as_that_default(default: Any) -> None:
    param = ParamDoc(name="p", position=0, default=default)
    (field,) = fields_for([param], {}, {})
    text = field.text.replace("\n", "\r\n") if kind_of(param) is not FieldKind.JSON else field.text
    if isinstance(default, str) and "\r" in default:
        return  # a browser sends every line ending as CR LF
    assert conf_from([param], {"p": text}) == {}
