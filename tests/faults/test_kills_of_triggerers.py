"""SIGKILL for triggerers, and an outage of the database, under tasks that wait."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from clockmill.storage.tables import component, task_trigger
from clockmill.testing.servers import PostgresServer
from tests.faults.harness import Mill, kill, wait_until

MANY, FEW = 200, 10


def owners(mill: Mill) -> Counter[str | None]:
    """How many waiting triggers each triggerer has."""
    statement = select(task_trigger.c.triggerer).where(task_trigger.c.fired_at.is_(None))
    return Counter(mill.database.read(lambda connection: list(connection.execute(statement).scalars())))


def triggerer_pids(mill: Mill) -> set[int]:
    """The process ids of the triggerers that have said that they are there."""
    statement = select(component.c.pid).where(component.c.name == "triggerer")
    return set(mill.database.read(lambda connection: list(connection.execute(statement).scalars())))


def all_wait(mill: Mill, tasks: int) -> bool:
    """Whether so many tasks wait, and somebody runs what for."""
    return sum(count for name, count in owners(mill).items() if name) == tasks


def test_triggers_of_killed_triggerers_are_run_by_the_next_one_and_each_fires_once(mill: Mill) -> None:
    mill.parse("waits.py")
    scheduler = mill.start("scheduler", "--grace", "5")
    first = mill.start("triggerer")
    mill.trigger("many", "w")
    wait_until(lambda: all_wait(mill, MANY), "all to wait", tell=mill.tell)
    wait_until(lambda: not mill.live(), "every slot to be free")

    first.kill()
    mill.open_gate()  # while nobody looks
    second = mill.start("triggerer")
    wait_until(lambda: owners(mill).total() < MANY, "the first events", tell=mill.tell)
    second.kill()
    third = mill.start("triggerer")
    mill.wait_for_runs()

    evidence = mill.check()
    assert Counter(each.state for each in evidence.attempts) == {"deferred": MANY, "success": MANY}
    assert third.end() == 0
    assert scheduler.end() == 0
    mill.check_gone()


def test_standalone_starts_its_triggerer_again_and_takes_it_along_at_the_end(mill: Mill) -> None:
    mill.parse("waits.py")
    service = mill.standalone("--grace", "5")
    service.ready()
    mill.trigger("few", "w")
    wait_until(lambda: all_wait(mill, FEW), "all to wait", tell=mill.tell)

    (victim,) = triggerer_pids(mill)
    kill(victim)
    wait_until(lambda: triggerer_pids(mill) - {victim} and all_wait(mill, FEW), "another triggerer", tell=mill.tell)
    mill.open_gate()
    mill.wait_for_runs()

    assert Counter(each.state for each in mill.check().attempts) == {"deferred": FEW, "success": FEW}
    assert service.end() == 0
    mill.check_gone()


@pytest.mark.postgres
def test_events_that_come_while_postgres_is_away_are_kept_and_written_when_it_is_back(
    postgres_mill: Mill, sturdy_postgres: PostgresServer
) -> None:
    mill = postgres_mill
    mill.parse("waits.py")
    scheduler = mill.start("scheduler", "--grace", "5")
    triggerer = mill.start("triggerer")
    mill.trigger("few", "w")
    wait_until(lambda: all_wait(mill, FEW), "all to wait", tell=mill.tell)

    sturdy_postgres.stop()
    try:
        mill.open_gate()
        wait_until(lambda: "the database is away" in triggerer.said(), "the word that the database is away")
    finally:
        sturdy_postgres.start()
    mill.wait_for_runs()

    assert not triggerer.is_over()
    assert Counter(each.state for each in mill.check().attempts) == {"deferred": FEW, "success": FEW}
    assert triggerer.end() == 0
    assert scheduler.end() == 0
    mill.check_gone()
