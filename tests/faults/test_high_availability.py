"""Several of each service on one database: whichever is killed, hangs or comes late, the others go on."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from clockmill.storage.tables import component, dag, dag_version, event, leader, supervisor
from clockmill.testing.servers import PostgresServer
from tests.faults.harness import CLOCK, DAGS, Mill, wait_until

#: What is promised of a scheduler whose fellow was killed.
GOES_ON_WITHIN = 10.0
#: Short, so that the tests are: beats come six times as often.
LEASE = {"CLOCKMILL__WORKERS__LEASE_SECONDS": "6"}


@pytest.fixture
def homes(make_mill: Callable[..., Mill], sturdy_url: str) -> tuple[Mill, Mill]:
    """Two machines, as far as they can tell: two homes with one database, one DAG folder and one ledger."""
    one, two = make_mill(sturdy_url, "one", **LEASE), make_mill(sturdy_url, "two", **LEASE)
    two.answered = one.answered
    one.parse("fan.py")
    return one, two


def test_of_two_schedulers_the_other_goes_on_at_once_with_what_a_killed_one_was_at(
    mill: Mill, request: pytest.FixtureRequest
) -> None:
    def note(what: str, since: float) -> None:
        told = f"{what} after {CLOCK.monotonic() - since:.2f} s"
        request.node.user_properties.append(("measured", told))
        sys.stdout.write(f"{told}\n")

    mill.parse("fan.py")
    both = [mill.start("scheduler", "--grace", "5") for _ in range(2)]
    wait_until(lambda: len(mill.supervisors()) == 2, "a supervisor for each", tell=mill.tell)
    mill.trigger("long", "l")
    mill.trigger("fan", "all")
    mill.wait_for_entries("END", 15)

    victim = wait_until(mill.busy_services, "a scheduler that is at work")[0]
    before = epochs(mill)
    held = {each.id for each in mill.live().values()}
    victim.kill()
    killed_at = CLOCK.monotonic()
    mill.trigger("fan", "more")  # so that there is something to begin, however far the first run was
    wait_until(
        lambda: any(each.attempt not in held and each.at > killed_at for each in mill.entries("START")),
        "a task that the other one began",
        GOES_ON_WITHIN,
        mill.tell,
    )
    note("the next task began", killed_at)
    wait_until(lambda: len(set(epochs(mill).values())) == 1, "one to control both", GOES_ON_WITHIN, mill.tell)
    assert epochs(mill).keys() == before.keys()
    note("its supervisor was taken over", killed_at)
    mill.open_gate()
    mill.wait_for_runs()
    note("all was over", killed_at)

    assert {each.state for each in mill.check().attempts} == {"success"}
    (other,) = (service for service in both if service is not victim)
    assert other.end() == 0
    mill.check_gone()


@pytest.mark.postgres
def test_what_ran_on_a_machine_that_is_gone_runs_on_another_one_after_a_lease(homes: tuple[Mill, Mill]) -> None:
    one, two = homes
    first = one.start("scheduler")
    one.trigger("long", "l")
    one.wait_for_entries("START", 2)
    second = two.start("scheduler", "--grace", "5")
    wait_until(lambda: len(instances(two, "scheduler")) == 2, "both schedulers", tell=two.tell)
    wait_until(lambda: leases(one) == {6.0}, "a short lease, now that there is another one", tell=one.tell)

    one.kill_all()
    assert first.is_over()
    two.open_gate()
    two.wait_for_runs()

    assert Counter(each.state for each in two.check().attempts) == {"lost": 2, "success": 2}
    assert second.end() == 0
    two.check_gone()


@pytest.mark.postgres
def test_a_machine_that_hangs_longer_than_its_lease_has_ended_its_tasks_before_another_one_begins_them(
    homes: tuple[Mill, Mill],
) -> None:
    one, two = homes
    first = one.start("scheduler", "--grace", "5")
    one.trigger("long", "l")
    one.wait_for_entries("START", 2)
    second = two.start("scheduler", "--grace", "5")
    wait_until(lambda: len(instances(two, "scheduler")) == 2, "both schedulers", tell=two.tell)
    wait_until(lambda: leases(one) == {6.0}, "a short lease, now that there is another one", tell=one.tell)

    first.process.send_signal(signal.SIGSTOP)
    two.wait_for_entries("START", 4)
    first.process.send_signal(signal.SIGCONT)
    two.trigger("fan", "all")
    two.open_gate()
    two.wait_for_runs()

    states = Counter(each.state for each in two.check().attempts if "/long/" in f"/{each.task}")
    assert states["success"] == 2
    assert states["lost"] + states["released"] == 2
    for mill, service in ((one, first), (two, second)):
        assert service.end() == 0
        mill.check_gone()


@pytest.mark.postgres
def test_a_restart_of_postgres_under_two_machines_with_schedulers_costs_no_task(
    make_mill: Callable[..., Mill], sturdy_url: str, sturdy_postgres: PostgresServer
) -> None:
    one, two = make_mill(sturdy_url, "one"), make_mill(sturdy_url, "two")
    two.answered = one.answered
    one.parse("fan.py", "ticks.py")
    one.answered |= {f"ticks/scheduled__2026-01-0{day}T00:00:00+00:00" for day in range(1, 7)}
    both = [mill.start("scheduler", "--grace", "5") for mill in (one, two)]
    wait_until(lambda: len(instances(one, "scheduler")) == 2, "both schedulers", tell=one.tell)
    one.trigger("fan", "all")

    for ended in (15, 35):
        one.wait_for_entries("END", ended)
        sturdy_postgres.restart(signal.SIGQUIT)
    one.wait_for_runs()

    assert {each.state for each in one.check().attempts} == {"success", "failed"}
    assert [service.end() for service in both] == [0, 0]
    for mill in (one, two):
        mill.check_gone()


@pytest.mark.postgres
def test_services_that_are_started_in_any_order_wait_for_the_tables_and_then_work(
    make_mill: Callable[..., Mill], bare_url: str, place: Path
) -> None:
    mill = make_mill(bare_url)
    (place / "dags").mkdir()
    for file in ("ledger.py", "fan.py"):
        shutil.copy(DAGS / file, place / "dags" / file)
    names = (("webserver", "--port", "0"), ("triggerer",), ("scheduler", "--grace", "5"), ("dag-processor",))
    services = [mill.start(*name) for name in names]
    for service in services:
        wait_until(lambda service=service: "run clockmill db migrate. Waiting for that." in service.said(), "its word")

    mill.call("db", "migrate")
    services[0].ready()
    mill.call("pools", "set", "narrow", "2", "two at once")
    wait_until(lambda: "fan" in versions(mill), "the DAG", tell=mill.tell)
    mill.trigger("fan", "all")
    mill.wait_for_runs()

    assert {each.state for each in mill.check().attempts} == {"success"}
    address = services[0].address
    wait_until(lambda: health(address)["status"] == "healthy", "/health", tell=lambda: str(health(address)))
    assert [service.end() for service in services] == [0, 0, 0, 0]
    mill.check_gone()


@pytest.mark.postgres
def test_of_two_dag_processors_one_works_and_the_other_one_follows_when_it_is_killed(
    make_mill: Callable[..., Mill], sturdy_url: str, place: Path
) -> None:
    mill = make_mill(sturdy_url)
    (place / "dags").mkdir()
    source = "from clockmill import DAG\nwith DAG({!r}, schedule=None):\n    pass\n"
    (place / "dags" / "a.py").write_text(source.format("a"))
    first = mill.start("dag-processor")
    wait_until(lambda: versions(mill) == {"a": 1}, "the DAG", tell=mill.tell)
    elsewhere = make_mill(sturdy_url, "elsewhere", CLOCKMILL__CORE__DAGS_FOLDER=str(place / "old"))
    (place / "old").mkdir()
    (place / "old" / "b.py").write_text(source.format("b"))
    others = [mill.start("dag-processor"), elsewhere.start("dag-processor")]
    wait_until(lambda: len(instances(mill, "dag-processor")) == 3, "all three", tell=mill.tell)

    (place / "dags" / "a.py").write_text(source.format("a") + "# changed\n")
    wait_until(lambda: versions(mill) == {"a": 2}, "the change", tell=mill.tell)
    first.kill()
    wait_until(lambda: leading(mill) == others[0].process.pid, "the other one of this home", 10, mill.tell)
    (place / "dags" / "c.py").write_text(source.format("c"))
    wait_until(lambda: versions(mill) == {"a": 2, "c": 1}, "what came later", tell=mill.tell)

    assert deactivations(mill) == []
    assert [other.end() for other in others] == [0, 0]


def instances(mill: Mill, name: str) -> list[int]:
    """The process ids of the services of that name that say that they are there."""
    found = select(component.c.pid).where(component.c.name == name)
    return mill.database.read(lambda connection: list(connection.scalars(found)))


def epochs(mill: Mill) -> dict[str, int]:
    """By which scheduler each living supervisor is controlled."""
    found = select(supervisor.c.id, supervisor.c.epoch).where(supervisor.c.is_alive)
    return {row.id: row.epoch for row in mill.database.read(lambda connection: connection.execute(found).all())}


def leases(mill: Mill) -> set[float | None]:
    """For how long supervisors with live attempts may be silent."""
    held = {each.supervisor for each in mill.live().values()}
    found = select(supervisor.c.lease).where(supervisor.c.id.in_(held))
    return mill.database.read(lambda connection: set(connection.scalars(found)))


def versions(mill: Mill) -> dict[str, int]:
    """How many versions each active DAG has."""
    found = select(dag.c.dag_id, dag_version.c.number).join(dag_version, dag_version.c.id == dag.c.version_id)
    rows = mill.database.read(lambda connection: connection.execute(found.where(dag.c.is_active)).all())
    return {row.dag_id: row.number for row in rows}


def deactivations(mill: Mill) -> list[str]:
    """The DAGs that were ever deactivated."""
    found = select(event.c.dag_id).where(event.c.kind == "dag_deactivated")
    return mill.database.read(lambda connection: list(connection.scalars(found)))


def leading(mill: Mill) -> int:
    """The process id of the DAG processor that works."""
    found = mill.database.read(lambda connection: connection.scalar(select(leader.c.instance)))
    return int(str(found).split(":")[1])


def health(address: str) -> dict[str, object]:
    """What ``/health`` says."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))
