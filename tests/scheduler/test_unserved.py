"""What a scheduler says at its start of workers that nobody has started."""

from __future__ import annotations

import pytest

from clockmill import DAG, task
from clockmill.scheduler.steps.unserved import PATIENCE
from tests.works import START, Works, chain

directly = pytest.mark.parametrize("works", ["direct"], indirect=True)
HINT = "no worker serves the queue 'default' of broker, so tasks wait there; start one with: start a worker of default"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    told = [record.getMessage() for record in caplog.records if record.name.endswith(".unserved")]
    caplog.clear()
    return told


@directly
def test_a_scheduler_without_a_worker_says_once_what_to_type(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    mill = works.mill
    mill.add(chain())
    mill.pump()
    mill.trigger("d")
    mill.pass_time(seconds=PATIENCE - 0.001)
    assert said(caplog) == []
    mill.pass_time(seconds=0.001)
    assert said(caplog) == []  # nothing hurries it: it looks when it has to be awake anyway
    mill.pass_time(seconds=5)
    assert said(caplog) == [HINT]
    for _ in range(20):
        mill.pass_time(seconds=5)
    assert said(caplog) == []


@directly
def test_a_worker_that_comes_within_its_usual_time_is_not_missed(
    works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    mill = works.mill
    mill.add(chain())
    mill.pump()
    mill.trigger("d")
    mill.pass_time(seconds=PATIENCE - 0.001)
    works.worker()
    for _ in range(20):
        mill.pass_time(seconds=5)  # in the end it is given up, which is another story
    assert said(caplog) == []


@directly
def test_a_queue_that_tasks_wait_in_needs_a_worker_of_its_own(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    with DAG("d", start_date=START, schedule=None) as dag:

        @task(queue="gpu")
        def one() -> None: ...

        one()
    works.worker()
    works.mill.add(dag)
    works.mill.trigger("d")
    works.mill.pass_time(seconds=PATIENCE)
    assert said(caplog) == [HINT.replace("default", "gpu")]


@directly
def test_a_silent_worker_counts_once_it_is_given_up_and_not_before(
    works: Works, caplog: pytest.LogCaptureFixture
) -> None:
    mill = works.mill
    works.worker().say()
    mill.clock.advance(1)
    mill.add(chain())
    mill.trigger("d")
    for _ in range(12):
        assert said(caplog) == []
        mill.pass_time(seconds=5)
    mill.pass_time(seconds=5)
    assert said(caplog) == [HINT]
