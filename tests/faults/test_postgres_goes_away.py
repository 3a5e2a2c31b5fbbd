"""PostgreSQL is restarted, crashes, or is away for a while, under load: the services wait, and nothing is lost."""

from __future__ import annotations

import signal

import pytest

from clockmill.testing.servers import PostgresServer
from tests.faults.harness import CLOCK, Mill, Service, wait_until

#: Longer than a supervisor or a task waits for anything but the database.
AWAY_SECONDS = 15.0

pytestmark = pytest.mark.postgres


def under_load(mill: Mill) -> Service:
    """All services at work on sixty tasks."""
    mill.parse("fan.py")
    service = mill.standalone("--grace", "5")
    service.ready()
    mill.trigger("fan", "all")
    mill.wait_for_entries("END", 15)
    return service


def finish(mill: Mill, service: Service) -> None:
    """All that was begun ends well, in the same process, and no attempt had to be repeated."""
    mill.wait_for_runs()
    assert not service.is_over()
    evidence = mill.check()
    assert {each.state for each in evidence.attempts} == {"success"}
    assert service.end() == 0
    mill.check_gone()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_restart_of_postgres_under_load_costs_no_task(
    postgres_mill: Mill, sturdy_postgres: PostgresServer, how: signal.Signals
) -> None:
    service = under_load(postgres_mill)

    for ended in (15, 35):
        postgres_mill.wait_for_entries("END", ended)
        sturdy_postgres.restart(how)

    finish(postgres_mill, service)


def test_while_postgres_is_away_tasks_run_on_and_their_ends_are_kept(
    postgres_mill: Mill, sturdy_postgres: PostgresServer
) -> None:
    service = under_load(postgres_mill)
    postgres_mill.trigger("reading", "r")
    wait_until(lambda: "reading/r/reader" in postgres_mill.live(), "the reader", tell=postgres_mill.tell)

    sturdy_postgres.stop()
    away_since = CLOCK.monotonic()
    try:
        postgres_mill.open_gate()
        wait_until(lambda: "the database is away" in service.said(), "the word that the database is away")
        wait_until(lambda: CLOCK.monotonic() > away_since + AWAY_SECONDS, "the end of the outage")
        assert not service.is_over()
    finally:
        sturdy_postgres.start()

    finish(postgres_mill, service)


def test_a_scheduler_that_is_stopped_while_postgres_is_away_leaves_what_ran_to_the_next_one(
    postgres_mill: Mill, sturdy_postgres: PostgresServer
) -> None:
    postgres_mill.parse("fan.py")
    first = postgres_mill.start("scheduler")
    postgres_mill.trigger("long", "l")
    postgres_mill.wait_for_entries("START", 2)

    sturdy_postgres.stop()
    try:
        wait_until(lambda: "the database is away" in first.said(), "the word that the database is away")
        first.end(signal.SIGTERM)
        assert "Traceback" not in first.said()
    finally:
        sturdy_postgres.start()
    postgres_mill.open_gate()

    finish(postgres_mill, postgres_mill.start("scheduler", "--grace", "5"))
