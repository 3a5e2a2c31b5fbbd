"""Backfills on the pages: the lists, the page of one, the buttons, and the form with its preview."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from clockmill.cli.steering import WebActions
from clockmill.storage.engine import Database
from clockmill.storage.tables import backfill, dag_run

from .conftest import NOW
from .reading import hidden, words

FORM = "/dags/weather/backfills/new"
DAYS = {"from_day": "2026-01-01", "to_day": "2026-01-10"}


@pytest.fixture
def noted(database: Database, clock: Any, tmp_path: Path) -> WebActions:
    """The real actions in place of those that only take notes."""
    return WebActions(database, clock, tmp_path / "run")


def send(client: FlaskClient, **fields: str) -> TestResponse:
    return client.post(FORM, data={**hidden(client.get(FORM).text), **DAYS, **fields})


def state_of(database: Database, ident: int) -> str:
    return str(database.read(lambda c: c.execute(select(backfill.c.state).where(backfill.c.id == ident)).scalar_one()))


def runs_of(seed: Any, ident: int, **numbers: int) -> None:
    day = 0
    for state, number in numbers.items():
        for _ in range(number):
            day += 1
            date = NOW - timedelta(days=day)
            seed.run("weather", f"backfill__{date:%Y-%m-%d}", state, backfill_id=ident, logical_date=date)


def test_without_backfills_the_list_says_what_one_is(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": []})
    assert "No backfills yet" in words(client.get("/backfills"))
    assert "Backfill weather…" in words(client.get("/dags/weather/backfills"))


def test_the_list_tells_how_far_each_is_and_filters(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": []})
    seed.dag("billing", {"extract": []})
    ident = seed.backfill("weather", "paused", reason="2 of 6 runs failed; it stops at 2")
    runs_of(seed, ident, success=3, failed=2, queued=1)
    seed.backfill("billing", "success", ended_at=NOW)

    text = words(client.get("/backfills"))

    assert "5 of 6" in text
    assert "2 failed" in text
    assert "it stops at 2" in text
    assert text.index("billing") < text.index("weather")
    assert "billing" not in words(client.get("/backfills?state=paused"))
    assert "No cancelled backfill" in words(client.get("/backfills?state=cancelled"))
    assert "5 of 6" in words(client.get("/dags/weather/backfills"))
    assert "billing" not in words(client.get("/dags/weather/backfills"))


def test_the_list_is_paged(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather")
    for _ in range(26):
        seed.backfill("weather", "cancelled")

    first = client.get("/backfills").text
    assert len(re.findall(r'<tr id="backfill-', first)) == 25
    older = re.search(r'href="(/backfills\?before=\d+)"', first)
    assert older
    assert len(re.findall(r'<tr id="backfill-', client.get(older.group(1)).text)) == 1


def test_the_page_of_one_shows_why_it_is_paused_its_options_and_its_runs(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": []})
    ident = seed.backfill(
        "weather", "paused", reason="1 of 6 runs failed; it stops at 1", stop_at="10%", canary=2, task_regex="ext",
        run_count=6, run_backwards=True, max_active_runs=3, conf={"full": True}, reprocess_behavior="failed",
    )  # fmt: skip
    runs_of(seed, ident, success=3, failed=1, queued=2)

    text = words(client.get(f"/backfills/{ident}"))

    assert "It is held back: 1 of 6 runs failed; it stops at 1." in text
    assert "4 of 6 runs over, 66 %" in text
    assert "last date first" in text
    assert "Runs at a time 3" in text
    assert "failed ones run again" in text
    assert "10%, which is 1 failed" in text
    assert "2 runs first" in text
    assert '"full": true' in text
    assert "Resume and run failed again…" in text
    rows = re.findall(r'<tr id="run-', client.get(f"/backfills/{ident}?state=failed").text)
    assert len(rows) == 1


def test_a_running_one_says_when_it_will_be_over(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": []})
    ident = seed.backfill("weather", "running")
    runs_of(seed, ident, queued=1, success=1)
    answer = client.get(f"/backfills/{ident}")
    assert 'data-live="' in answer.text
    assert "Pause" in words(answer)


def test_its_runs_are_paged(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": []})
    ident = seed.backfill("weather")
    runs_of(seed, ident, queued=51)

    first = client.get(f"/backfills/{ident}").text
    assert len(re.findall(r'<tr id="run-', first)) == 50
    more = re.search(rf'href="(/backfills/{ident}\?before=\d+)"', first)
    assert more
    assert len(re.findall(r'<tr id="run-', client.get(more.group(1)).text)) == 1


def test_one_that_is_not_there_is_not_found(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather")
    seed.backfill("weather")
    for address in ("/backfills/7", "/backfills/7/cancel", "/backfills/99999999999999999999", "/backfills/-1"):
        assert client.get(address).status_code == 404


def test_the_buttons_pause_resume_and_cancel(client: FlaskClient, seed: Any, database: Database) -> None:
    seed.dag("weather", {"extract": []})
    ident = seed.backfill("weather")
    runs_of(seed, ident, success=1, running=1, queued=4)
    token = hidden(client.get(f"/backfills/{ident}").text)

    answer = client.post(f"/backfills/{ident}/pause", data=token)
    assert answer.headers["Location"] == f"/backfills/{ident}"
    assert state_of(database, ident) == "paused"

    client.post(f"/backfills/{ident}/resume", data=token)
    assert state_of(database, ident) == "running"

    text = words(client.get(f"/backfills/{ident}/cancel"))
    assert "queued 4 never begin" in text
    assert "running 1 are left to finish" in text
    assert "success 1 stay as they are" in text
    assert state_of(database, ident) == "running"

    client.post(f"/backfills/{ident}/cancel", data=token)
    assert state_of(database, ident) == "cancelled"
    assert "there is nothing to pause" in words(client.get(f"/backfills/{ident}/pause"))
    assert client.post(f"/backfills/{ident}/pause", data=token).status_code == 409


def test_failed_runs_are_sent_back_to_the_queue_on_request(client: FlaskClient, seed: Any, database: Database) -> None:
    seed.dag("weather", {"extract": []})
    ident = seed.backfill("weather", "paused", run_count=3)
    run = seed.run("weather", "bad", "failed", backfill_id=ident, logical_date=NOW - timedelta(days=1))
    seed.task(run, "extract", "failed", try_number=1)
    seed.run("weather", "next", "queued", backfill_id=ident, logical_date=NOW - timedelta(days=2))

    page = client.get(f"/backfills/{ident}/rerun-failed")
    assert "failed 1 run again" in words(page)
    client.post(f"/backfills/{ident}/rerun-failed", data=hidden(page.text))

    assert state_of(database, ident) == "running"
    states = database.read(lambda c: c.execute(select(dag_run.c.state).where(dag_run.c.id == run)).scalar_one())
    assert states == "queued"


def test_the_preview_tells_what_becomes_of_every_date_and_creates_nothing(
    client: FlaskClient, seed: Any, database: Database
) -> None:
    seed.dag("weather", {"extract": [], "load": ["extract"]})
    there = NOW.replace(day=4, hour=6)
    seed.run("weather", "scheduled__4", "failed", logical_date=there)

    text = words(send(client, tasks="ext"))

    assert "10 dates: 9 new, 1 left. 1 task in each run: extract" in text
    assert "its run ended: failed" in text
    assert text.count("backfill__2026-01-") == 9
    assert "1 run again" in words(send(client, reprocess="failed"))
    assert database.read(lambda c: c.execute(select(backfill.c.id)).all()) == []


def test_what_was_previewed_is_created(client: FlaskClient, seed: Any, database: Database) -> None:
    seed.dag("weather", {"extract": []})
    fields = hidden(send(client, canary="2", stop_at="10%", max_active_runs="4", backwards="1", conf='{"a": 1}').text)

    answer = client.post(FORM, data={**fields, "step": "create"})

    assert re.fullmatch(r"/backfills/\d+", answer.headers["Location"])
    row = database.read(lambda c: c.execute(select(backfill)).one())
    assert (row.canary, row.stop_at, row.max_active_runs, row.run_backwards) == (2, "10%", 4, True)
    assert (row.conf, row.created_by) == ({"a": 1}, "web")
    assert row.from_date.isoformat() == "2026-01-01T00:00:00+00:00"
    assert row.to_date.isoformat() == "2026-01-10T23:59:59.999999+00:00"
    assert "some of these dates: until it is over" in words(send(client))


def test_a_preview_that_is_no_longer_true_is_shown_anew(client: FlaskClient, seed: Any, database: Database) -> None:
    seed.dag("weather", {"extract": []})
    fields = hidden(send(client).text)
    seed.run("weather", "by-hand", "success", logical_date=NOW.replace(day=4, hour=6))

    answer = client.post(FORM, data={**fields, "step": "create"})

    assert answer.status_code == 409
    assert "Something changed in between" in answer.text
    assert "9 new, 1 left" in words(answer)
    assert database.read(lambda c: c.execute(select(backfill.c.id)).all()) == []


def test_many_dates_are_told_by_stretches(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": []})
    seed.run("weather", "by-hand", "success", logical_date=NOW.replace(year=2025, day=4, hour=6))

    text = words(send(client, from_day="2024-01-31", to_day="2025-12-31"))

    assert "701 dates: 700 new, 1 left" in text
    assert "339 new" in text
    assert "1 left its run ended: success" in text
    assert "361 new" in text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"from_day": ""}, "Say which date is the first one."),
        ({"from_day": "yesterday"}, "The first date 'yesterday' is no date"),
        ({"to_day": "2026-02-30"}, "The last date '2026-02-30' is no date"),
        ({"to_day": "2025-01-01"}, "before it begins"),
        ({"canary": "0"}, "The canary must be between 1 and 10"),
        ({"canary": "many"}, "'many' is not a whole number"),
        ({"max_active_runs": "-1"}, "'-1' is not a whole number"),
        ({"stop_at": "200%"}, "more than 100%"),
        ({"tasks": "("}, "is no regular expression"),
        ({"tasks": "nothing"}, "No task of DAG 'weather'"),
        ({"conf": "{"}, "The configuration is no JSON"),
        ({"reprocess": "all"}, "is one of none, failed, completed"),
    ],
)
def test_mistakes_show_the_form_again_as_it_was_filled_in(
    client: FlaskClient, seed: Any, fields: dict[str, str], sentence: str
) -> None:
    seed.dag("weather", {"extract": []})

    answer = send(client, **fields)

    assert answer.status_code == 400
    assert sentence in words(answer)
    name, value = next(iter(fields.items()))
    assert value == "" or name == "reprocess" or html.escape(value) in answer.text


def test_nothing_typed_into_the_form_or_kept_in_a_backfill_becomes_markup(client: FlaskClient, seed: Any) -> None:
    evil = '"><script>alert(1)</script>'
    seed.dag("weather", {"extract": []})
    ident = seed.backfill("weather", "paused", reason=evil, task_regex=evil, conf={evil: evil}, created_by=evil)
    for name in ("from_day", "to_time", "canary", "stop_at", "tasks", "conf", "max_active_runs", "reprocess"):
        assert "<script>alert" not in send(client, **{name: evil}).text
    for address in ("/backfills", "/dags/weather/backfills", f"/backfills/{ident}", f"/backfills/{ident}/cancel"):
        assert "<script>alert" not in client.get(address).text


def test_the_dag_and_its_runs_lead_to_the_backfill(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": []})
    ident = seed.backfill("weather")
    seed.run("weather", "one", "running", backfill_id=ident)

    assert f'href="{FORM}"' in client.get("/dags/weather").text
    assert f'href="/backfills/{ident}"' in client.get("/dags/weather/runs/one").text
