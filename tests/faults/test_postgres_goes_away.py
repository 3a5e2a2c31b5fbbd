"""PostgreSQL is restarted, crashes, or is away for a while, under load: the services wait, and nothing is lost."""

from __future__ import annotations

import signal
from collections import Counter

import psutil
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
        assert first.end(signal.SIGTERM) == 0
        assert len(postgres_mill.task_processes()) == 2
    finally:
        sturdy_postgres.start()
    postgres_mill.open_gate()

    finish(postgres_mill, postgres_mill.start("scheduler", "--grace", "5"))


def test_stopping_while_postgres_is_away_leaves_no_process_and_spends_no_try(
    postgres_mill: Mill, sturdy_postgres: PostgresServer
) -> None:
    postgres_mill.parse("fan.py")
    first = postgres_mill.standalone("--grace", "0.5")
    first.ready()
    postgres_mill.trigger("long", "l")
    postgres_mill.wait_for_entries("START", 2)

    sturdy_postgres.stop()
    try:
        assert first.end(signal.SIGTERM) == 0
        assert postgres_mill.processes() == []
    finally:
        sturdy_postgres.start()
    postgres_mill.open_gate()
    second = postgres_mill.start("scheduler", "--grace", "5")
    postgres_mill.wait_for_runs()

    evidence = postgres_mill.check()
    assert Counter(each.state for each in evidence.attempts) == {"released": 2, "success": 2}
    assert second.end() == 0
    postgres_mill.check_gone()


def test_a_scheduler_that_starts_while_postgres_restarts_waits_for_it(
    postgres_mill: Mill, sturdy_postgres: PostgresServer
) -> None:
    postgres_mill.parse("fan.py")
    postgres_mill.trigger("fan", "all")
    service = postgres_mill.start("scheduler", "--grace", "5", probes="store.commit.before:1=stop")
    wait_until(lambda: psutil.Process(service.process.pid).status() == psutil.STATUS_STOPPED, "its first commit")

    sturdy_postgres.stop()
    try:
        service.process.send_signal(signal.SIGCONT)
        wait_until(lambda: "the database is away" in service.said(), "the word that the database is away")
    finally:
        sturdy_postgres.start()

    finish(postgres_mill, service)
