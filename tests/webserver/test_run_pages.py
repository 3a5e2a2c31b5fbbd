"""The pages of a run and of a task, as a person reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from clockmill.events import EventKind
from clockmill.webserver import run_pages

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
RUN = "scheduled__2026-01-31T06:00:00+00:00"
PAGE = f"/dags/weather/runs/{RUN}"
PAYLOAD = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def weather(seed: Any) -> int:
    """A DAG with a running run; gives the row id of the run."""
    seed.component("scheduler")
    seed.component("dag-processor")
    seed.dag("weather", {"extract": [], "load": ["extract"], "report": ["load"]})
    return int(seed.run("weather", RUN, "running"))


def shown_tasks(text: str) -> list[str]:
    """The task ids that a run shows, in order."""
    return re.findall(r'name="task" value="([^"]+)"', text)


def test_a_run_lists_its_tasks_with_state_try_and_reason(client: FlaskClient, seed: Any, weather: int) -> None:
    seed.task(weather, "extract", "success", try_number=1, start_date=NOW, end_date=NOW + timedelta(seconds=4.2))
    seed.task(weather, "load", "failed", try_number=2, max_tries=2, reason="ValueError: no rows")
    seed.task(weather, "report", "upstream_failed", reason="1 of 1 upstream tasks failed")

    text = client.get(PAGE).text

    assert shown_tasks(text) == ["extract", "load", "report"]
    assert "4.2 s" in text
    assert "ValueError: no rows" in text
    assert '<a class="chip s-failed"' in text
    assert "upstream failed" in text


def test_a_run_goes_on_looking_until_nothing_changes_by_itself(client: FlaskClient, seed: Any, weather: int) -> None:
    seed.task(weather, "extract", "running", try_number=1)
    assert 'data-live="2000"' in client.get(PAGE).text

    over = seed.run("weather", "over", "failed")
    seed.task(over, "extract", "failed", try_number=1)
    assert "data-live" not in client.get("/dags/weather/runs/over").text

    seed.task(over, "load", "restarting", try_number=1)
    assert "data-live" in client.get("/dags/weather/runs/over").text


def test_a_state_can_be_picked_and_long_runs_have_pages(
    client: FlaskClient, seed: Any, weather: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_pages, "TASKS_PER_PAGE", 2)
    for number in range(5):
        seed.task(weather, f"t{number}", "success" if number != 3 else "failed")

    assert shown_tasks(client.get(f"{PAGE}?state=failed").text) == ["t3"]
    found: list[str] = []
    address: str | None = PAGE
    while address:
        text = client.get(address).text
        found += shown_tasks(text)
        match = re.search(r'href="([^"]+)">More tasks', text)
        address = match.group(1).replace("&amp;", "&") if match else None
    assert found == [f"t{number}" for number in range(5)]


def test_unknown_runs_and_tasks_are_not_found(client: FlaskClient, seed: Any, weather: int) -> None:
    seed.task(weather, "extract")

    assert client.get("/dags/weather/runs/nope").status_code == 404
    assert client.get("/dags/nope/runs/nope").status_code == 404
    answer = client.get(f"{PAGE}/tasks/extrct")
    assert answer.status_code == 404
    assert "Did you mean &#39;extract&#39;?" in answer.text
    assert client.get(f"{PAGE}/tasks/extract?map_index=4").status_code == 404
    assert client.get(f"{PAGE}/tasks/extract?map_index=-2").status_code == 400
    assert client.get(f"{PAGE}/tasks/extract?map_index=one").status_code == 400


def test_a_task_shows_its_tries_neighbours_and_xcoms(client: FlaskClient, seed: Any, weather: int) -> None:
    extract = seed.task(weather, "extract", "success", try_number=2, max_tries=3)
    seed.task(weather, "load", "running", try_number=1)
    seed.attempt(weather, extract, 1, "failed", reason="ConnectionError: no answer", exit_code=1)
    seed.attempt(weather, extract, 2, "success", exit_code=0, peak_memory_kb=61440, resources='{"memory":104857600}')
    seed.xcom(weather, extract, "return_value", '{"when":{"__type__":"datetime","value":"2026-01-31T06:00:00+00:00"}}')

    text = client.get(f"{PAGE}/tasks/extract").text

    assert "try 1" in text
    assert "try 2" in text
    assert "asked for 100 MB of memory" in text
    assert "60 MB at most" in text
    assert re.search(r'class="chip s-running"[^>]*title="running".*?load', text, re.DOTALL)
    assert "&#34;when&#34;: &#34;2026-01-31T06:00:00+00:00&#34;" in text
    assert "ConnectionError: no answer" in client.get(f"{PAGE}/tasks/extract?try=1").text


def test_an_instance_of_a_mapped_task_is_found_by_its_index(client: FlaskClient, seed: Any, weather: int) -> None:
    seed.task(weather, "extract", "success", map_index=0)
    seed.task(weather, "extract", "failed", map_index=1)

    assert "extract [1]" in client.get(f"{PAGE}/tasks/extract?map_index=1").text
    assert "extract [0]" in client.get(f"{PAGE}/tasks/extract").text


def test_a_long_xcom_is_cut_and_one_that_is_no_json_is_shown_as_stored(
    client: FlaskClient, seed: Any, weather: int
) -> None:
    task = seed.task(weather, "extract", "success", try_number=1)
    seed.xcom(weather, task, "long", '"' + "y" * 50_000 + '"')
    seed.xcom(weather, task, "odd", "{not json")

    text = client.get(f"{PAGE}/tasks/extract").text

    assert "Only the beginning is shown" in text
    assert "y" * 20_001 not in text
    assert "{not json" in text


def test_a_task_that_never_ran_says_so(client: FlaskClient, seed: Any, weather: int) -> None:
    seed.task(weather, "extract", "none")

    text = client.get(f"{PAGE}/tasks/extract").text

    assert "It has not run yet, so there is no log." in text
    assert "Values show once a try succeeds." in text


def test_what_a_task_left_behind_stays_text_and_tokens_stay_secret(
    client: FlaskClient, seed: Any, weather: int
) -> None:
    task = seed.task(weather, "extract", "failed", try_number=1, reason=PAYLOAD)
    seed.attempt(weather, task, 1, "failed", reason=PAYLOAD)
    seed.xcom(weather, task, PAYLOAD, f'"{{{{ 7*7 }}}}{PAYLOAD[2:]}"')
    odd = seed.run("weather", "odd", "success", note=PAYLOAD, reason=PAYLOAD, conf={PAYLOAD: PAYLOAD})
    seed.task(odd, "extract", "success")

    for address in (PAGE, f"{PAGE}/tasks/extract", "/dags/weather/runs/odd"):
        text = client.get(address).text
        assert "<img" not in text.replace('<img src="/static/clockmill.svg', "")
        assert "secret-token-of-the-attempt" not in text


def test_a_task_that_waits_says_for_what(client: FlaskClient, seed: Any, weather: int) -> None:
    seed.task(weather, "extract", "running", try_number=1)
    seed.task(weather, "load", "none")
    seed.task(weather, "report", "up_for_retry", try_number=1, max_tries=3, due_at=NOW + timedelta(minutes=5))

    assert "0 of 1 upstream tasks are done" in client.get(f"{PAGE}/tasks/load").text
    assert "Try 1 of 3 failed; the next is due at 2026-01-31 12:05:00 UTC" in client.get(f"{PAGE}/tasks/report").text


def test_what_happened_leaves_out_what_an_event_does_not_say(client: FlaskClient, seed: Any, weather: int) -> None:
    seed.event("weather", RUN, EventKind.RUN_STATE, state="success", reason="")

    text = client.get(PAGE).text

    assert "state: success</span>" in text
    assert "reason:" not in text


def mapped_run(seed: Any, instances: int = 1000) -> None:
    """A run with a mapped task of many instances between two others."""
    seed.dag("weather", {"list": [], "work": ["list"], "sum": ["work"]})
    run = seed.run("weather", "many", "running", end_date=None)
    seed.task(run, "list", "success")
    for index in range(instances):
        state = "failed" if index == 7 else "success"
        seed.task(run, "work", state, map_index=index, item=index, label=f"station {index}")
    seed.task(run, "sum", "upstream_failed")


def test_a_mapped_task_is_one_line_of_its_run_however_many_instances_it_has(client: FlaskClient, seed: Any) -> None:
    mapped_run(seed, 300)

    page = client.get("/dags/weather/runs/many").text

    assert re.findall(r'name="task" value="(\w+)"', page) == ["list", "work", "sum"]
    assert "× 300" in page
    assert "1 failed" in page
    assert "299 success" in page


def test_the_instances_of_a_mapped_task_are_listed_by_index_with_their_names(client: FlaskClient, seed: Any) -> None:
    mapped_run(seed, 300)

    first = client.get("/dags/weather/runs/many/tasks/work/instances").text
    assert "station 0<" in first
    assert "station 200<" not in first
    assert "station 200<" in client.get("/dags/weather/runs/many/tasks/work/instances?after=199").text
    failed = client.get("/dags/weather/runs/many/tasks/work/instances?state=failed").text
    assert re.findall(r"station \d+", failed) == ["station 7"]
    assert client.get("/dags/weather/runs/many/tasks/wurk/instances").status_code == 404


def test_the_neighbours_of_a_reduce_are_one_link_to_all_instances(client: FlaskClient, seed: Any) -> None:
    mapped_run(seed, 100)

    page = client.get("/dags/weather/runs/many/tasks/sum").text

    assert page.count("/tasks/work/instances") == 1


def test_a_run_shows_which_of_its_deadlines_are_met_missed_or_at_risk(
    client: FlaskClient, seed: Any, weather: int
) -> None:
    seed.deadline(weather, "breakfast", NOW, met_at=NOW)
    seed.deadline(weather, "lunch", NOW, missed_at=NOW)
    seed.deadline(weather, "supper", NOW, warned_at=NOW)
    text = re.sub(r"<[^>]+>", " ", client.get(PAGE).text)
    for name, stands in (("breakfast", "met"), ("lunch", "missed"), ("supper", "at risk")):
        assert re.search(rf"Deadline {name}\s+{stands}", text), name


def test_each_attempt_tells_its_id_and_times(client: FlaskClient, seed: Any, weather: int) -> None:
    task = seed.task(weather, "extract", "success", try_number=1)
    seed.attempt(weather, task, peak_memory_kb=2048, cpu_seconds=0.5)
    text = client.get(f"{PAGE}/tasks/extract").text
    assert re.search(r'title="attempt \w+: queued [^"]+, claimed [^"]+, started [^"]+, ended', text)
    assert "MB at most" in text
