"""What every request has to pass: host, origin, token; and that looking changes nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.routing import Rule

from clockmill.storage.engine import Database
from clockmill.storage.tables import metadata

RUN = "manual__2026-01-31T00:00:00+00:00"
IDS = {
    "dag_id": "weather",
    "run_id": RUN,
    "task_id": "extract",
    "filename": "style.css",
    "verb": "stop",
    "ident": 1,
    "name": "default_pool",
}


@pytest.fixture
def history(seed: Any) -> None:
    """A DAG with a run and a task."""
    seed.component("scheduler")
    seed.component("dag-processor")
    seed.worker("w1", busy=1, resources={"gpu": 1})
    seed.dag("weather", {"extract": []})
    assert seed.backfill("weather") == IDS["ident"]
    run = seed.run("weather", RUN, backfill_id=IDS["ident"])
    task = seed.task(run, "extract", try_number=1)
    seed.attempt(run, task)
    assert seed.callback(run) == IDS["ident"]
    seed.log("weather", RUN, "extract", "hello\n")


def _values(rule: Rule) -> dict[str, Any]:
    about = {"verb": "pause"} if rule.endpoint.startswith("backfills.") else {}
    return {name: {**IDS, **about}[name] for name in rule.arguments}


def addresses(app: Flask, method: str) -> list[str]:
    """Every address of the application that answers to ``method``."""
    with app.test_request_context():
        adapter = app.url_map.bind("localhost")
        rules = [rule for rule in app.url_map.iter_rules() if method in (rule.methods or ())]
        return [adapter.build(rule.endpoint, _values(rule), method) for rule in rules]


def token_of(client: FlaskClient) -> str:
    """The token that a page puts into its forms."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/dags/weather").text)
    assert found
    return found.group(1)


@pytest.mark.usefixtures("history")
def test_no_look_changes_anything(app: Flask, client: FlaskClient, database: Database, noted: Any) -> None:
    def everything() -> list[list[Any]]:
        return database.read(lambda c: [list(c.execute(select(table))) for table in metadata.sorted_tables])

    before = everything()
    codes = {address: client.get(address, buffered=True).status_code for address in addresses(app, "GET")}

    assert all(code in {200, 302, 400} for code in codes.values()), codes
    assert everything() == before
    assert noted.calls == []


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("data", [{}, {"csrf_token": "guess"}, {"csrf_token": ""}])
def test_no_change_without_the_token_of_the_session(
    app: Flask, client: FlaskClient, noted: Any, data: dict[str, str]
) -> None:
    targets = [target for target in addresses(app, "POST") if not target.startswith("/api/")]
    assert len(targets) >= 5

    assert {client.post(target, data=data).status_code for target in targets} == {403}
    token_of(client)
    assert {client.post(target, data=data).status_code for target in targets} == {403}
    assert noted.calls == []


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:9"},
        {"Referer": "https://evil.example/dags"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_change_from_another_site_even_with_the_token(
    client: FlaskClient, noted: Any, headers: dict[str, str]
) -> None:
    answer = client.post("/dags/weather/pause", data={"csrf_token": token_of(client)}, headers=headers)

    assert answer.status_code == 403
    assert "another site" in answer.text
    assert noted.calls == []


@pytest.mark.usefixtures("history")
def test_a_form_of_our_own_page_passes(client: FlaskClient, noted: Any) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}

    answer = client.post("/dags/weather/pause", data={"csrf_token": token_of(client)}, headers=headers)

    assert answer.status_code == 303
    assert noted.calls == [("set_paused", "weather", True)]


@pytest.mark.usefixtures("history")
def test_json_cannot_slip_past_the_token(client: FlaskClient, noted: Any) -> None:
    token = token_of(client)

    answer = client.post("/dags/weather/pause", data=f'{{"csrf_token": "{token}"}}', content_type="text/plain")

    assert answer.status_code == 403
    assert noted.calls == []


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("192.168.1.7", 200),
        ("dev.localhost", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("evil.example:80@localhost", 400),
    ],
)
def test_only_names_that_cannot_be_pointed_here_by_others_are_answered(
    client: FlaskClient, host: str, code: int
) -> None:
    assert client.get("/dags", headers={"Host": host}).status_code == code


def test_every_answer_forbids_foreign_scripts_and_frames(app: Flask, client: FlaskClient, history: None) -> None:
    for address in [*addresses(app, "GET"), "/nothing/here"]:
        headers = client.get(address, buffered=True).headers
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe-inline" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


def test_pages_hold_no_inline_script_or_style(app: Flask, client: FlaskClient, history: None) -> None:
    inline = re.compile(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:")

    for address in addresses(app, "GET"):
        answer = client.get(address, buffered=True)
        if answer.mimetype == "text/html":
            assert not inline.search(answer.text), address


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(client: FlaskClient, history: None) -> None:
    cookie = client.get("/dags").headers["Set-Cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


@pytest.mark.parametrize(
    "address",
    [
        "/dags/..%2f..%2fetc%2fpasswd",
        "/dags/%2e%2e",
        "/dags/" + "x" * 300,
        "/dags/%00",
        "/dags/-rf",
        "/dags/%E2%80%AEgpj",
        "/dags/<script>alert(1)</script>",
        "/dags/weather/runs/..%2f..",
        "/dags/weather/runs/x/tasks/..",
        "/dags/weather/runs/x/tasks/..%5c..%5c/log",
    ],
)
def test_what_cannot_be_an_id_is_not_found_and_not_echoed_as_markup(client: FlaskClient, address: str) -> None:
    answer = client.get(address, buffered=True)

    assert answer.status_code == 404
    assert "<script>alert" not in answer.text
    assert "x" * 100 not in answer.text


def test_a_form_that_is_too_large_is_refused(client: FlaskClient, history: None) -> None:
    assert client.post("/dags/weather/trigger", data={"conf": "x" * 2_000_000}).status_code == 413


def test_a_crash_shows_a_page_without_its_reason(
    app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(**values: Any) -> str:
        raise RuntimeError("password=hunter2")

    monkeypatch.setitem(app.view_functions, "dags.list_dags", crash)

    answer = client.get("/dags")

    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "Something went wrong here" in answer.text


@pytest.mark.parametrize("address", ["/dags?after=%00", "/dags?q=a%00b", "/dags?show=%00"])
def test_a_nul_never_reaches_the_database(client: FlaskClient, address: str) -> None:
    assert client.get(address).status_code == 400
