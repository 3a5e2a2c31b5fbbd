"""``GET /health``: the contract that scripts rely on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from clockmill.logs.tasklogs import TaskLogs
from clockmill.storage.engine import Database
from clockmill.storage.triggers import NewTrigger, insert_triggers
from clockmill.webserver.app import create_app
from clockmill.webserver.site import WebOptions


def test_all_is_well_when_every_service_came_round_lately(client: FlaskClient, seed: Any) -> None:
    seed.component("scheduler", ago=2)
    seed.component("dag-processor", ago=20, period=5)

    answer = client.get("/health")

    assert answer.status_code == 200
    assert answer.json == {
        "status": "healthy",
        "components": {
            "scheduler": {
                "status": "healthy",
                "last_loop": "2026-01-31T11:59:58.000000+00:00",
                "instances": {
                    "scheduler-2": {"status": "healthy", "last_loop": "2026-01-31T11:59:58.000000+00:00"},
                },
            },
            "dag-processor": {
                "status": "healthy",
                "last_loop": "2026-01-31T11:59:40.000000+00:00",
                "instances": {
                    "dag-processor-20": {"status": "healthy", "last_loop": "2026-01-31T11:59:40.000000+00:00"},
                },
            },
        },
    }


def test_a_service_that_missed_three_loops_and_ten_seconds_makes_it_unhealthy(
    client: FlaskClient, seed: Any, clock: Any
) -> None:
    seed.component("scheduler", ago=25, period=5)
    seed.component("dag-processor", ago=1)
    assert client.get("/health").status_code == 200

    clock.moment += timedelta(microseconds=1)

    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["status"] == "unhealthy"
    assert answer.json["components"]["scheduler"]["status"] == "unhealthy"
    assert answer.json["components"]["dag-processor"]["status"] == "healthy"


def test_it_is_unhealthy_before_the_services_have_come_round_once(client: FlaskClient) -> None:
    answer = client.get("/health")

    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["components"]["scheduler"] == {"status": "unhealthy", "last_loop": None, "instances": {}}


def test_an_instance_that_died_does_not_count_while_another_goes_round(client: FlaskClient, seed: Any) -> None:
    seed.component("scheduler", ago=9000)
    seed.component("scheduler", ago=1)
    seed.component("dag-processor", ago=1)

    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json is not None
    instances = answer.json["components"]["scheduler"]["instances"]
    assert {name: each["status"] for name, each in instances.items()} == {
        "scheduler-1": "healthy",
        "scheduler-9000": "unhealthy",
    }
    assert "1 of 2" in client.get("/dags").text


def test_a_database_that_cannot_be_asked_is_unhealthy_and_no_crash(tmp_path: Path, clock: Any, noted: Any) -> None:
    database = Database(f"sqlite:///{tmp_path}/missing/clockmill.db", clock=clock)
    options = WebOptions(secret_key=b"k", logs=TaskLogs(tmp_path), dags_folder=tmp_path)
    client = create_app(database, options, clock=clock, actions_hook=noted).test_client()

    answer = client.get("/health")

    assert answer.status_code == 503
    assert answer.json == {
        "status": "unhealthy",
        "components": {"database": {"status": "unhealthy", "last_loop": None, "instances": {}}},
    }
    page = client.get("/dags")
    assert page.status_code == 503
    assert "The database cannot be asked" in page.text


def test_a_triggerer_is_missed_as_soon_as_a_task_waits_for_one(
    client: FlaskClient, seed: Any, database: Database, rows: Any
) -> None:
    seed.component("scheduler", ago=1)
    seed.component("dag-processor", ago=1)
    assert client.get("/health").status_code == 200

    run = rows.run(rows.dag("w"), "w", "r")
    waiting = NewTrigger(
        task_instance_id=rows.task(run, "t", "deferred"), dag_run_id=run, class_path="m.C", kwargs="{}", bundle="",
        file="", pool="p", pool_slots=1, created_at=rows.start, timeout_at=None,
    )  # fmt: skip
    database.write(lambda connection: insert_triggers(connection, [waiting]))

    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["components"]["triggerer"] == {"status": "unhealthy", "last_loop": None, "instances": {}}
