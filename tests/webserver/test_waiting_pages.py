"""What a task or a run waits for, has to meet and led to, on its pages; and when a DAG is due."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from clockmill import DAG, DeadlineAlert, DeadlineReference, TaskGroup, task
from clockmill.operators.empty import EmptyOperator

from .conftest import NOW
from .reading import words

RUN = "/dags/weather/runs/one"
EVIL = '"><script>alert(1)</script>'


def built() -> DAG:
    """A DAG with a group, a setup, a teardown, a mapped task, and rules of its own."""
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    meet = DeadlineAlert(
        name="breakfast", reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(hours=1), callback=print
    )
    with DAG(
        "weather",
        schedule="30 2 * * *",
        start_date=begin,
        timezone="Europe/Berlin",
        overlap="skip",
        fail_fast=True,
        max_active_runs=3,
        deadline=meet,
        auto_register=False,
    ) as dag:
        up, down = EmptyOperator(task_id="up").as_setup(), EmptyOperator(task_id="down").as_teardown()
        with TaskGroup("checks"):
            rows = EmptyOperator(task_id="rows", deadline=timedelta(minutes=5))
        up >> rows >> down

        @task
        def load(shop: int) -> None: ...

        load.expand(shop=[1, 2])
    return dag


@pytest.fixture
def weather(seed: Any) -> int:
    seed.dag("weather", built=built())
    return int(seed.run("weather", "one", "running"))


@pytest.mark.usefixtures("weather")
def test_a_dag_tells_when_it_is_due_and_what_daylight_saving_does(client: FlaskClient) -> None:
    text = words(client.get("/dags/weather"))

    assert "Ticks: next Sun 2026-02-01 02:30 CET" in text
    for day in (27, 28, 29, 30, 31):
        assert f"2026-01-{day} 02:30 CET" in text
    assert "2026-02-05 02:30 CET" in text
    assert "2026-02-06 02:30 CET" not in text
    assert "On 2026-03-29 at 02:00, the clock of Europe/Berlin goes forward by 1 hour" in text


@pytest.mark.usefixtures("weather")
def test_a_dag_tells_its_rules_and_what_its_tasks_are(client: FlaskClient) -> None:
    text = words(client.get("/dags/weather"))

    assert "Overlap the next run is skipped" in text
    assert "Runs at a time 3" in text
    assert "the first failure ends the run" in text
    assert "breakfast: 1 h 00 min after it was queued" in text
    assert "up setup" in text
    assert "down teardown" in text
    assert "load mapped" in text
    assert "checks.rows within 5 min 00 s checks EmptyOperator up" in text


def test_runs_are_filtered_by_type_and_show_their_notes(client: FlaskClient, seed: Any, weather: int) -> None:
    seed.run("weather", "by-hand", "failed", run_type="manual", note="After the outage")
    seed.run("weather", "old", "failed", run_type="backfill")

    assert "After the outage" in words(client.get("/dags/weather"))

    def listed(query: str) -> list[str]:
        return re.findall(
            r'<a class="mono" href="/dags/weather/runs/([\w-]+)"', client.get(f"/dags/weather{query}").text
        )

    assert listed("?type=manual") == ["by-hand"]
    assert listed("?state=failed") == ["old", "by-hand"]
    assert listed("?state=failed&type=backfill") == ["old"]
    assert listed("?state=success&type=manual") == []
    assert client.get("/dags/weather?type=manuel").status_code == 400


def test_a_deferred_task_tells_what_it_waits_for_and_since_when(client: FlaskClient, seed: Any, weather: int) -> None:
    task = seed.task(weather, "checks.rows", "deferred", try_number=1)
    seed.wait(weather, task, "clockmill.triggers.DateTimeTrigger", timeout_at=NOW + timedelta(hours=1))

    assert "waits for DateTimeTrigger, since 5 min ago, until in 1 h at most" in words(client.get(RUN))
    text = words(client.get(f"{RUN}/tasks/checks.rows"))
    assert "It waits for the trigger DateTimeTrigger since 2026-01-31 11:55:00 UTC, without a slot." in text
    assert "The next time that something can change: in 1 h, at 2026-01-31 13:00 UTC." in text
    assert "Waits for DateTimeTrigger, since 5 min ago" in text


def test_a_rescheduled_task_tells_when_it_looks_again(client: FlaskClient, seed: Any, weather: int) -> None:
    due = NOW + timedelta(seconds=30)
    begun = NOW - timedelta(minutes=20)
    seed.task(
        weather, "checks.rows", "up_for_reschedule", try_number=1, reschedules=14, due_at=due, first_start=begun
    )  # fmt: skip

    assert "looks again in 30 s, looked 14 times in vain" in words(client.get(RUN))
    text = words(client.get(f"{RUN}/tasks/checks.rows"))
    assert "Next look in 30 s" in text
    assert "Looks in vain 14, since 20 min ago" in text


def test_attempts_show_all_their_times(client: FlaskClient, seed: Any, weather: int) -> None:
    task = seed.task(weather, "up", "failed", try_number=1)
    moments = [NOW + timedelta(milliseconds=each) for each in (0, 30, 50, 2050)]
    times = dict(zip(("queued_at", "claimed_at", "started_at", "ended_at"), moments, strict=True))
    seed.attempt(weather, task, 1, "failed", **times, peak_memory_kb=2048, cpu_seconds=0.5, exit_code=3, reason="Boom")

    text = words(client.get(f"{RUN}/tasks/up"))

    assert "2026-01-31 12:00:00.000 Boom exit code 3 +30 ms +20 ms +2.0 s 2 MB 500 ms local" in text


def test_deadlines_of_a_run_and_its_tasks_are_told(client: FlaskClient, seed: Any, weather: int) -> None:
    task = seed.task(weather, "checks.rows", "running", try_number=1)
    seed.deadline(weather, "breakfast", NOW + timedelta(minutes=9), warned_at=NOW - timedelta(minutes=2))
    seed.deadline(
        weather, "checks.rows", NOW - timedelta(minutes=3), missed_at=NOW - timedelta(minutes=3), task_instance_id=task
    )

    text = words(client.get(RUN))
    assert "missed checks.rows 2026-01-31 11:57 3 min ago missed 3 min ago" in text
    assert "at risk breakfast of the run 2026-01-31 12:09 in 9 min warned 2 min ago" in text
    assert "Deadline missed 2026-01-31 11:57" in words(client.get(f"{RUN}/tasks/checks.rows"))


def test_deadlines_missed_lately_are_told_first_of_all(client: FlaskClient, seed: Any, weather: int) -> None:
    assert "deadline" not in words(client.get("/dags"))
    seed.deadline(weather, "long ago", NOW, missed_at=NOW - timedelta(days=1))
    assert "deadline" not in words(client.get("/dags"))
    seed.deadline(weather, "breakfast", NOW, missed_at=NOW - timedelta(hours=23))

    text = words(client.get("/dags"))

    assert "1 deadline was missed in the last day, by weather 23 h ago." in text
    assert "weather / one breakfast" in text


def test_callbacks_show_their_state_attempts_and_log(client: FlaskClient, seed: Any, weather: int, logs: Any) -> None:
    ident = seed.callback(weather, "on_failure_callback", "failed", reason="SMTPError: no")
    file = logs / "weather" / "one" / "callbacks" / f"{ident}.log"
    file.parent.mkdir(parents=True)
    file.write_text(f"2026-01-31T06:00:00.123456+00:00 mailing {EVIL}\n")
    task = seed.task(weather, "up", "failed")
    seed.callback(weather, "on_retry_callback", task_instance_id=task)

    text = words(client.get(RUN))
    assert "failed on_failure_callback SMTPError: no" in text
    assert "pending on_retry_callback up" in text
    assert "pending on_retry_callback up" in words(client.get(f"{RUN}/tasks/up"))
    page = client.get(f"{RUN}/callbacks/{ident}")
    assert "mailing" in words(page)
    assert "<script>alert" not in page.text
    assert "It has not been made yet" in words(client.get(f"{RUN}/callbacks/{ident + 1}"))
    assert client.get(f"{RUN}/callbacks/{ident + 2}").status_code == 404
    seed.run("weather", "two", "running")
    assert client.get(f"/dags/weather/runs/two/callbacks/{ident}").status_code == 404


def test_none_of_it_becomes_markup(client: FlaskClient, seed: Any, weather: int) -> None:
    task = seed.task(weather, "up", "deferred", label=EVIL, reason=EVIL)
    seed.wait(weather, task, EVIL)
    seed.attempt(weather, task, 1, "deferred", reason=EVIL, executor=EVIL)
    seed.deadline(weather, EVIL, NOW, missed_at=NOW, task_instance_id=task)
    ident = seed.callback(weather, EVIL, "failed", reason=EVIL)
    seed.run("weather", "two", "failed", note=EVIL, reason=EVIL)

    for address in (
        "/dags",
        "/dags/weather",
        RUN,
        f"{RUN}/tasks/up",
        f"{RUN}/tasks/up/instances",
        f"{RUN}/callbacks/{ident}",
    ):
        assert "<script>alert" not in client.get(address).text, address


def test_the_first_page_tells_how_each_service_does(client: FlaskClient, seed: Any) -> None:
    seed.component("scheduler")
    seed.component("triggerer", ago=600)
    seed.dag("weather")

    text = words(client.get("/dags"))

    assert "scheduler last loop 1 s ago" in text
    assert "triggerer last loop 10 min ago" in text
    assert "dag-processor has not run yet" in text
