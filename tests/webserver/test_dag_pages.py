"""The list of DAGs and the page of one, as a person reads them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from clockmill import DAG
from clockmill.operators.empty import EmptyOperator
from clockmill.webserver import dag_pages

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
PAYLOAD = "<script>alert(1)</script>"


def shown_dags(text: str) -> list[str]:
    """The DAG ids that a list shows, in order."""
    return re.findall(r'<tr id="dag-([^"]+)"', text)


def shown_runs(text: str) -> list[str]:
    """The run ids that a table shows, in order."""
    return re.findall(r'<td class="main"><a class="mono" href="[^"]+">([^<]+)</a>', text)


def test_the_first_address_leads_to_the_list(client: FlaskClient) -> None:
    answer = client.get("/")

    assert answer.status_code == 302
    assert answer.headers["Location"] == "/dags"


def test_an_empty_list_says_where_to_save_a_file(client: FlaskClient) -> None:
    text = client.get("/dags").text

    assert "No DAGs yet" in text
    assert "/home/ada/dags" in text
    assert "from clockmill import DAG, task" in text


def test_a_line_tells_schedule_last_runs_and_next_run(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", description="Daily observations", tags=["noaa"], next_run_after=NOW + timedelta(hours=3))
    seed.run("weather", "one", "failed", ago=7200)
    seed.run("weather", "two", "running", ago=60)

    text = client.get("/dags").text

    assert "Daily observations" in text
    assert "0 6 * * *" in text
    assert 'aria-label="failed: one"' in text
    assert text.index('aria-label="failed: one"') < text.index('aria-label="running: two"')
    assert '<time datetime="2026-01-31T15:00:00.000000+00:00" title="2026-01-31 15:00:00 UTC">in 3 h</time>' in text


def test_the_page_of_a_dag_says_which_pools_nobody_made(client: FlaskClient, seed: Any) -> None:
    with DAG("weather", schedule=None) as dag:
        EmptyOperator(task_id="fetch", pool="downloads")
    seed.dag(built=dag)
    told = "The pool &#39;downloads&#39; does not exist, so the task &#39;fetch&#39; waits for ever."
    assert told in client.get("/dags/weather").text
    seed.pool("downloads", 2)
    assert "does not exist" not in client.get("/dags/weather").text


def test_only_the_newest_runs_are_dots_and_no_dag_takes_those_of_another(client: FlaskClient, seed: Any) -> None:
    for dag_id in ("a", "b"):
        seed.dag(dag_id)
    for number in range(dag_pages.RUN_DOTS + 3):
        seed.run("a", f"a{number}")
        seed.run("b", f"b{number}") if number < 2 else None

    text = client.get("/dags").text

    dots = re.findall(r'aria-label="success: (\w+)"', text)
    assert dots == [f"a{number}" for number in range(3, dag_pages.RUN_DOTS + 3)] + ["b0", "b1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["billing", "paused_one", "weather"]),
        ("?show=active", ["billing", "weather"]),
        ("?show=paused", ["paused_one"]),
        ("?show=failing", ["billing"]),
        ("?show=running", ["weather"]),
        ("?q=WEA", ["weather"]),
        ("?q=grace", ["billing"]),
        ("?q=noaa", ["weather"]),
        ("?q=d_o", ["paused_one"]),
        ("?q=%25", []),
    ],
)
def test_filters_and_search(client: FlaskClient, seed: Any, query: str, expected: list[str]) -> None:
    seed.dag("billing", owner="grace")
    seed.run("billing", "x", "failed")
    seed.dag("paused_one", is_paused=True)
    seed.dag("weather", tags=["noaa"])
    seed.run("weather", "old", "failed")
    seed.run("weather", "now", "running")
    seed.dag("file_is_gone", is_active=False)

    assert shown_dags(client.get(f"/dags{query}").text) == expected


def test_a_filter_that_is_unknown_is_refused_with_the_nearest(client: FlaskClient) -> None:
    answer = client.get("/dags?show=failling")

    assert answer.status_code == 400
    assert "Did you mean &#39;failing&#39;?" in answer.text


def test_pages_of_dags_together_are_all_of_them(
    client: FlaskClient, seed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dag_pages, "DAGS_PER_PAGE", 3)
    for number in range(7):
        seed.dag(f"dag{number}")

    found: list[str] = []
    address: str | None = "/dags"
    while address:
        text = client.get(address).text
        found += shown_dags(text)
        match = re.search(r'href="([^"]+)">Next page', text)
        address = match.group(1).replace("&amp;", "&") if match else None

    assert found == [f"dag{number}" for number in range(7)]


def test_pages_of_runs_together_are_all_of_them_even_when_new_ones_come(
    client: FlaskClient, seed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dag_pages, "RUNS_PER_PAGE", 2)
    seed.dag("weather")
    for number in range(5):
        seed.run("weather", f"run{number}")

    found: list[str] = []
    address: str | None = "/dags/weather"
    while address:
        text = client.get(address).text
        found += shown_runs(text)
        match = re.search(r'href="([^"]+)">Older runs', text)
        address = match.group(1).replace("&amp;", "&") if match else None
        seed.run("weather", f"late{len(found)}")

    assert found == ["run4", "run3", "run2", "run1", "run0"]


def test_runs_can_be_filtered_by_state(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather")
    seed.run("weather", "good")
    seed.run("weather", "bad", "failed")

    assert shown_runs(client.get("/dags/weather?state=failed").text) == ["bad"]
    assert "No running run" in client.get("/dags/weather?state=running").text
    assert client.get("/dags/weather?state=failled").status_code == 400
    assert client.get("/dags/weather?before=x").status_code == 400
    assert client.get("/dags/weather?before=-1").status_code == 400


def test_import_errors_are_told_with_file_line_and_traceback(client: FlaskClient, seed: Any) -> None:
    seed.import_error("reports/broken.py", "'(' was never closed", line=12, traceback="    print(")

    text = client.get("/dags").text

    assert "1 DAG file" in text
    assert "reports/broken.py:12" in text
    assert "&#39;(&#39; was never closed" in text
    assert "    print(" in text


def test_a_service_that_stopped_is_told_on_every_page(client: FlaskClient, seed: Any) -> None:
    seed.component("dag-processor")
    seed.component("scheduler", ago=600)
    seed.dag("weather")

    for address in ("/dags", "/dags/weather"):
        text = client.get(address).text
        assert "<b>scheduler</b> has stopped" in text
        assert "10 min ago" in text
        assert "<b>dag-processor</b> has stopped" not in text


def test_a_dag_that_never_ran_says_what_comes(client: FlaskClient, seed: Any) -> None:
    seed.dag("due", next_run_after=NOW + timedelta(minutes=5))
    seed.dag("off", is_paused=True)
    seed.dag("by_hand", schedule="")

    assert "The next one is due <time" in client.get("/dags/due").text
    assert "Switch it on above" in client.get("/dags/off").text
    assert "Trigger one by hand" in client.get("/dags/by_hand").text


def test_the_tasks_of_the_newest_version_are_listed(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": [], "load": ["extract"]})

    text = client.get("/dags/weather").text

    assert "EmptyOperator" in text
    assert re.search(r'mono">load</td>.*?>extract</td>', text, re.DOTALL)


def test_an_unknown_dag_is_not_found_with_the_nearest_name(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather")

    answer = client.get("/dags/wether")

    assert answer.status_code == 404
    assert "There is no DAG &#39;wether&#39;. Did you mean &#39;weather&#39;?" in answer.text


def test_whatever_an_author_or_a_file_says_stays_text(client: FlaskClient, seed: Any) -> None:
    seed.dag(
        "odd",
        description=PAYLOAD + "{{ 7 * 7 }}‮gnirts",
        owner=PAYLOAD,
        tags=[PAYLOAD],
        schedule=PAYLOAD,
        file=PAYLOAD,
    )
    seed.import_error(PAYLOAD, PAYLOAD, traceback=PAYLOAD)

    for address in ("/dags", "/dags/odd", "/dags?q=" + PAYLOAD, "/dags/odd/trigger"):
        text = client.get(address).text
        assert PAYLOAD not in text
        assert "alert(1)" not in text or "&lt;script&gt;alert(1)" in text
        assert "49" not in re.findall(r"<bdi>([^<]*)</bdi>", text)
