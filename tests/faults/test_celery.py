"""Schedulers and Celery workers as processes, with the real brokers, and whatever may happen to either."""

from __future__ import annotations

import json
import shutil
import signal
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from clockmill.cli.main import cli
from clockmill.clock import SystemClock
from clockmill.executors.base import Offer
from clockmill.executors.celery.doorbell import BrokerOptions
from clockmill.executors.celery.ringer import Ringer
from clockmill.storage.tables import attempt, offer
from clockmill.testing.servers import RabbitServer, RedisServer, S3Server
from tests.faults.harness import Mill, Service, kill, wait_until

pytestmark = pytest.mark.broker

Broker = RedisServer | RabbitServer
SHORT_LEASE = {"CLOCKMILL__WORKERS__LEASE_SECONDS": "4"}
SECRET = "a secret of the machines of this test"


class CeleryMill(Mill):
    """A mill whose tasks run on workers."""

    def worker(self, name: str = "one", *arguments: str, slots: int = 4) -> Service:
        """Start a worker."""
        return self.start("celery", "worker", "--name", name, "--concurrency", str(slots), *arguments)

    def listed(self) -> list[dict[str, Any]]:
        """What ``workers list`` says."""
        result = CliRunner().invoke(cli, ["workers", "list", "-o", "json"], env=self.environment)
        assert result.exit_code == 0, result.output
        found: list[dict[str, Any]] = json.loads(result.stdout)
        return found

    def knows(self, **wanted: object) -> bool:
        """Whether some worker is listed like this."""
        return any(wanted.items() <= row.items() for row in self.listed())

    def open_offers(self) -> int:
        """How many attempts wait for a worker."""
        rows = self.database.read(lambda c: c.execute(select(offer.c.attempt_id).where(offer.c.offer_at.is_not(None))))
        return len(rows.all())

    def rings(self) -> list[Offer]:
        """The doorbells of all attempts that there ever were."""
        wanted = select(attempt.c.id, attempt.c.token, attempt.c.queue)
        rows = self.database.read(lambda connection: connection.execute(wanted).all())
        return [Offer(attempt_id=row.id, token=row.token, queue=row.queue, priority=1) for row in rows]

    def started(self) -> Counter[str]:
        """How often each task was begun."""
        return Counter(entry.task.rpartition("/")[2] for entry in self.entries("START"))

    def crashes(self) -> int:
        """What was spent of crash budgets."""
        return sum(each.crashes for each in self.evidence().tasks)


def settings(broker: Broker) -> dict[str, str]:
    return {
        "CLOCKMILL__CORE__EXECUTOR": "celery",
        "CLOCKMILL__CELERY__BROKER_URL": broker.url(),
        "CLOCKMILL__WORKERS__SECRET": SECRET,
        "CLOCKMILL__WORKERS__BEAT_SECONDS": "0.5",
    }


@pytest.fixture
def make_celery_mill(place: Path, sqlite_template: Path) -> object:
    mills: list[CeleryMill] = []

    def make(broker: Broker, url: str = "") -> CeleryMill:
        home = place / "home"
        home.mkdir()
        if not url:
            shutil.copyfile(sqlite_template, home / "clockmill.db")
            url = f"sqlite:///{home / 'clockmill.db'}"
        mills.append(CeleryMill(home, url, place, extra=settings(broker)))
        mills[-1].parse("fan.py")
        return mills[-1]

    yield make
    for mill in mills:
        mill.close()


Make = Callable[..., CeleryMill]


@pytest.fixture
def mill(make_celery_mill: Make, broker: Broker) -> CeleryMill:
    """A mill on SQLite, with each broker."""
    return make_celery_mill(broker)


@pytest.fixture
def redis_mill(make_celery_mill: Make, redis: RedisServer) -> CeleryMill:
    """A mill on SQLite, with Redis."""
    redis.purge()
    return make_celery_mill(redis)


def ringer(mill: CeleryMill, broker: Broker, key: str = SECRET) -> Ringer:
    options = BrokerOptions(executor="celery", url=broker.url(), transport={}, prefix="clockmill", key=key.encode())
    return Ringer(options, SystemClock())


def test_sixty_tasks_run_once_each_on_two_workers_though_each_bell_is_rung_twice(
    mill: CeleryMill, broker: Broker
) -> None:
    services = [mill.start("scheduler"), mill.worker("one"), mill.worker("two")]
    mill.trigger("fan", "all")
    twice, forged = ringer(mill, broker), ringer(mill, broker, "somebody else's secret")
    mill.wait_for_entries("END", 10)
    twice.ring(mill.rings())
    forged.ring(mill.rings())
    mill.wait_for_runs()
    mill.check()
    assert set(mill.started().values()) == {1}
    assert {each.state for each in mill.evidence().attempts} <= {"success", "released"}
    wait_until(lambda: broker.waiting("clockmill.celery.default") == 0, "an empty queue", tell=mill.tell)
    twice.close()
    forged.close()
    assert [service.end() for service in services] == [0, 0, 0]
    assert mill.processes() == []


@pytest.mark.postgres
def test_sixty_tasks_run_once_each_on_postgres(make_celery_mill: Make, redis: RedisServer, sturdy_url: str) -> None:
    redis.purge()
    mill = make_celery_mill(redis, sturdy_url)
    services = [mill.start("scheduler"), mill.worker("one"), mill.worker("two")]
    mill.trigger("fan", "all")
    mill.wait_for_runs()
    mill.check()
    assert set(mill.started().values()) == {1}
    assert [service.end() for service in services] == [0, 0, 0]


def test_a_broker_that_loses_everything_under_load_loses_no_task(mill: CeleryMill, broker: Broker) -> None:
    mill.start("scheduler")
    mill.trigger("fan", "all")
    wait_until(lambda: broker.waiting("clockmill.celery.default") > 0 or mill.open_offers() == 1, "a bell")
    broker.wipe()
    mill.worker("one")
    mill.wait_for_entries("END", 10)
    broker.restart(signal.SIGKILL, with_data=False)
    mill.wait_for_entries("END", 30)
    broker.purge()
    broker.drop_connections()
    mill.wait_for_runs()
    mill.check()
    assert set(mill.started().values()) == {1}
    # It listens again: this run is offered by bells.
    mill.trigger("reading", "after")
    mill.wait_for_entries("END", 63)
    mill.open_gate()
    mill.wait_for_runs()
    mill.check()


def test_without_a_broker_idle_workers_ask_the_database(redis_mill: CeleryMill, redis: RedisServer) -> None:
    mill = redis_mill
    redis.stop()
    try:
        scheduler, worker = mill.start("scheduler"), mill.worker()
        mill.trigger("fan", "all")
        mill.wait_for_runs()
        mill.check()
        assert [scheduler.end(), worker.end()] == [0, 0]
    finally:
        redis.start()


def test_what_a_killed_worker_ran_is_adopted_by_the_next_one_of_its_name(redis_mill: CeleryMill) -> None:
    mill = redis_mill
    mill.start("scheduler")
    worker = mill.worker()
    mill.trigger("long", "all")
    mill.wait_for_entries("START", 2)
    worker.kill()
    mill.worker()
    mill.open_gate()
    mill.wait_for_runs()
    mill.check()
    assert set(mill.started().values()) == {1}
    assert mill.crashes() == 0


def test_what_a_killed_machine_ran_is_lost_after_a_lease_and_runs_elsewhere(redis_mill: CeleryMill) -> None:
    mill = redis_mill
    mill.extra |= SHORT_LEASE
    scheduler = mill.start("scheduler")
    mill.worker("one")
    mill.trigger("long", "all")  # which run when it happens, however far the others are by then
    mill.wait_for_entries("START", 2)
    mill.trigger("fan", "all")
    mill.wait_for_entries("END", 10)
    for pid in set(mill.processes()) - {scheduler.process.pid}:
        kill(pid)
    assert mill.live().keys() >= {"long/all/one", "long/all/two"}
    mill.open_gate()
    mill.worker("two")
    mill.wait_for_runs()
    mill.check()
    assert mill.crashes() >= 2
    assert {each.try_number for each in mill.evidence().tasks} == {1}


def test_tasks_of_a_killed_worker_end_before_others_may_run_them(redis_mill: CeleryMill) -> None:
    mill = redis_mill
    mill.extra |= SHORT_LEASE
    mill.start("scheduler")
    worker = mill.worker("one")
    mill.trigger("long", "all")
    mill.wait_for_entries("START", 2)
    worker.kill()
    mill.worker("two")
    mill.wait_for_entries("START", 4)
    mill.open_gate()
    mill.wait_for_runs()
    mill.check()  # of which no overlap is a part


def test_a_worker_of_another_machine_needs_neither_the_database_nor_the_folder_of_dags(
    redis_mill: CeleryMill, place: Path
) -> None:
    mill = redis_mill
    mill.extra["CLOCKMILL__WEBSERVER__EXECUTION_API"] = "true"
    mill.start("scheduler")
    server = mill.start("webserver", "--port", "0")
    server.ready()
    address = server.address
    there = {"CLOCKMILL__WORKERS__API_URL": address, "CLOCKMILL__CORE__DAGS_FOLDER": str(place / "none")}
    far = CeleryMill(place / "far", "sqlite:////nowhere/clockmill.db", place, extra=mill.extra | there)
    try:
        worker = far.worker()
        mill.trigger("reading", "all")
        mill.wait_for_entries("START", 2)
        mill.open_gate()
        mill.wait_for_runs()
        mill.check()
        assert worker.end() == 0
        assert mill.knows(state="gone")
        logs = far.home / "logs" / "reading" / "all"
        assert sorted(path.name for path in logs.iterdir()) == ["reader", "writer"]
    finally:
        far.close()


@pytest.mark.store
@pytest.mark.parametrize("remote", ["api", "s3://logs/of-workers"])
def test_the_log_of_a_task_elsewhere_is_read_while_it_runs_and_complete_once_that_machine_is_gone(
    redis_mill: CeleryMill, place: Path, s3: S3Server, remote: str
) -> None:
    s3.wipe()
    s3.make_bucket("logs")
    mill = redis_mill
    mill.extra |= {"CLOCKMILL__LOGS__REMOTE": remote, "CLOCKMILL__LOGS__STORAGE_OPTIONS": s3.options()}
    mill.extra["CLOCKMILL__WEBSERVER__EXECUTION_API"] = "true"
    mill.start("scheduler")
    server = mill.start("webserver", "--port", "0")
    server.ready()
    address = server.address
    there = mill.extra | {"CLOCKMILL__WORKERS__API_URL": address}
    far = CeleryMill(place / "far", "sqlite:////nowhere/clockmill.db", place, extra=there)

    def page() -> str:
        return urllib.request.urlopen(f"{address}/dags/long/runs/all/tasks/one", timeout=60).read().decode()

    try:
        worker = far.worker()
        mill.trigger("long", "all")
        wait_until(lambda: "of try 1, supervisor" in page(), "the beginning of the log", tell=mill.tell)
        assert "ended success" not in page()
        mill.open_gate()
        mill.wait_for_runs()
        assert worker.end() == 0
    finally:
        far.close()
    shutil.rmtree(far.home)
    assert "ended success" in page()
    printed = CliRunner().invoke(cli, ["tasks", "logs", "long", "all", "one"], env=mill.environment)
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert "ended success" in printed.stdout


def test_a_person_who_clears_a_running_task_has_it_run_anew_without_waiting_for_a_beat(mill: CeleryMill) -> None:
    mill.extra |= {"CLOCKMILL__WORKERS__BEAT_SECONDS": "500", "CLOCKMILL__WORKERS__LEASE_SECONDS": "3000"}
    mill.start("scheduler")
    mill.worker()
    # It finds work without the broker, too, but who is to be stopped is told once, to those who listen then.
    log = mill.home / "logs" / "clockmill.log"
    wait_until(lambda: log.exists() and "listens to the queues" in log.read_text(), "a worker that listens")
    mill.trigger("long", "all")
    mill.wait_for_entries("START", 2)
    wait_until(lambda: {each.state for each in mill.evidence().tasks} == {"running"}, "two starts", tell=mill.tell)
    mill.call("tasks", "clear", "long", "--run", "all", "--task", "^one$", "--yes")
    mill.wait_for_entries("START", 3)
    mill.open_gate()
    mill.wait_for_runs()
    assert mill.started() == {"one": 2, "two": 1}
    assert mill.crashes() == 0


def test_asked_to_stop_a_worker_ends_what_runs_and_asked_twice_it_gives_it_back(redis_mill: CeleryMill) -> None:
    mill = redis_mill
    mill.start("scheduler")
    first = mill.worker("one")
    mill.trigger("long", "all")
    mill.wait_for_entries("START", 2)
    first.process.send_signal(signal.SIGTERM)
    wait_until(lambda: mill.knows(state="draining", busy=2), "a worker that is leaving", tell=mill.tell)
    assert not first.is_over()
    assert first.end(signal.SIGTERM) == 0
    assert mill.knows(state="gone", busy=0)
    second = mill.worker("two")
    mill.wait_for_entries("START", 4)
    second.process.send_signal(signal.SIGTERM)
    wait_until(lambda: mill.knows(state="draining", queues=["default"]), "a worker that is leaving", tell=mill.tell)
    mill.open_gate()
    wait_until(second.is_over, "the end of the second worker", tell=mill.tell)
    mill.worker("three")
    mill.wait_for_runs()
    mill.check()
    assert mill.crashes() == 0
