"""The page of the workers: who is there, how busy each is, what it offers, and who is silent or gone."""

from __future__ import annotations

import re
from typing import Any

from flask.testing import FlaskClient

from .reading import words

GB = 1 << 30


def test_each_worker_is_shown_with_its_load_and_what_it_offers(client: FlaskClient, seed: Any) -> None:
    seed.worker("w1", busy=3, slots=4, resources={"gpu": 1, "memory": 8 * GB, "cpu": 4}, gateway="http")
    seed.worker("w2", host="far", busy=9, slots=2, is_draining=True, queues=["gpu", "default"])
    text = words(client.get("/workers"))
    assert "2 workers, 5 of 6 slots busy" in text
    assert re.search(
        r"alive near w1 celery, version 1.2 3 of 4 default 4 cpu, 8 GB of memory, 1 gpu http 1 s ago", text
    )
    assert re.search(r"draining far w2 celery, version 1.2 2 of 2 full gpu default – database", text)


def test_a_worker_that_missed_its_beats_is_silent_and_one_that_left_is_shown_for_a_day(
    client: FlaskClient, seed: Any
) -> None:
    seed.worker("punctual", ago=15)
    seed.worker("late", ago=16)
    seed.worker("left", is_alive=False, busy=4, ago=86_400)
    seed.worker("forgotten", is_alive=False, ago=86_401)
    seed.worker("supervisor-of-a-scheduler", queues=[])
    text = words(client.get("/workers"))
    assert re.search(r"silent near late .* alive near punctual .* gone near left .* – default – database", text)
    assert "forgotten" not in text
    assert "supervisor-of-a-scheduler" not in text
    assert "2 workers, 0 of 8 slots busy" in text


def test_without_workers_the_page_says_how_one_is_started(client: FlaskClient) -> None:
    answer = client.get("/workers")
    assert "clockmill celery worker --queues default --concurrency 8" in words(answer)
    assert 'data-live="' in answer.text


def test_a_running_task_says_that_its_worker_is_silent(client: FlaskClient, seed: Any) -> None:
    seed.worker("w1", ago=16)
    seed.dag("weather", {"extract": []})
    run = seed.run("weather", "one", "running")
    task = seed.task(run, "extract", "running", queue="gpu", resources='{"gpu":1}')
    seed.attempt(run, task, 1, "running", supervisor_id="w1")
    text = words(client.get("/dags/weather/runs/one/tasks/extract"))
    assert "Its worker w1 on near has been silent for 16 s; after 60 s it is given up, and the attempt is lost." in text
    assert "Queue gpu Asks for 1 gpu" in text
