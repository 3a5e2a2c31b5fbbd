"""Two schedulers on one PostgreSQL: one is killed, the other one goes on, and each task runs once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.harness import SLOTS, Mill, wait_until

pytestmark = pytest.mark.postgres


@pytest.fixture
def homes(make_mill: Callable[..., Mill], sturdy_url: str) -> tuple[Mill, Mill]:
    """Two homes with one database, one DAG folder and one ledger."""
    one, two = make_mill(sturdy_url, "one"), make_mill(sturdy_url, "two")
    two.answered = one.answered
    one.parse("fan.py")
    return one, two


def test_a_scheduler_of_another_home_leaves_alone_what_it_cannot_see(homes: tuple[Mill, Mill]) -> None:
    one, two = homes
    first = one.start("scheduler", "--grace", "5")
    one.trigger("long", "l")
    one.wait_for_entries("START", 2)

    second = two.start("scheduler", "--grace", "5")
    wait_until(lambda: len(two.supervisors()) == 1, "a supervisor of the other home", tell=two.tell)
    one.trigger("fan", "all")
    wait_until(lambda: one.evidence().runs["fan/all"] == "success", "the fan", tell=one.tell)
    one.open_gate()
    one.wait_for_runs()

    assert {each.state for each in one.check().attempts} == {"success"}
    for mill, service in ((one, first), (two, second)):
        assert service.end() == 0
        mill.check_gone()


def test_of_two_schedulers_of_two_homes_the_other_one_goes_on(homes: tuple[Mill, Mill]) -> None:
    one, two = homes
    one.call("pools", "set", "narrow", str(SLOTS + 1), "what the killed one holds leaves room in it")
    first, second = one.start("scheduler"), two.start("scheduler", "--grace", "5")
    for mill in homes:
        wait_until(lambda mill=mill: len(mill.supervisors()) == 1, "a supervisor for each", tell=mill.tell)
    one.trigger("fan", "all")

    one.wait_for_entries("END", 15)
    first.kill()
    two.trigger("fan", "more")
    wait_until(lambda: two.evidence().runs["fan/more"] == "success", "a run by the other one", tell=two.tell)
    before = one.epoch()
    first = one.start("scheduler", "--grace", "5")
    wait_until(lambda: one.epoch() > before, "control of the supervisor", tell=one.tell)
    two.wait_for_runs()

    assert {each.state for each in two.check().attempts} == {"success"}
    for mill, service in ((one, first), (two, second)):
        assert service.end() == 0
        mill.check_gone()
