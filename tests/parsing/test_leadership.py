"""Of several DAG processors one works; another one follows when it is dead, and a dead one that wakes does no harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clockmill.parsing.leadership import SILENCE, Leadership, LeadLost
from clockmill.storage.engine import Database
from clockmill.testing import FakeClock

Candidates = Callable[..., Leadership]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def candidate(database: Database, clock: FakeClock, tmp_path: Path) -> Iterator[Candidates]:
    """Makes instances, by default each on a machine of its own."""
    made: list[Leadership] = []

    def make(name: str, home: str = "") -> Leadership:
        made.append(Leadership(database, clock, "dag-processor", name, tmp_path / (home or name)))
        made[-1].enter()
        return made[-1]

    yield make
    for each in made:
        each.leave()


def test_the_first_one_leads_and_the_second_stands_by_for_as_long_as_it_beats(
    candidate: Candidates, clock: FakeClock, database: Database
) -> None:
    first, second = candidate("a"), candidate("b")

    assert first.look()
    for _ in range(4):
        assert not second.look()
        clock.advance(SILENCE - 0.001)
        database.write(first.hold)
    assert second.is_standing_by


def test_a_silent_leader_of_another_machine_is_followed_after_a_whole_lease_and_not_before(
    candidate: Candidates, clock: FakeClock
) -> None:
    first, second = candidate("a"), candidate("b")
    assert first.look()

    assert not second.look()
    clock.advance(SILENCE - 0.001)
    assert not second.look()
    clock.advance(0.001)
    assert second.look()


def test_a_leader_that_was_taken_for_dead_can_write_nothing_any_more(
    candidate: Candidates, clock: FakeClock, database: Database
) -> None:
    first, second = candidate("a"), candidate("b")
    first.look()
    second.look()
    clock.advance(SILENCE)
    second.look()

    with pytest.raises(LeadLost):
        database.write(first.hold)
    database.write(second.hold)
    first.lose()
    assert not first.look()


def test_while_nobody_could_read_nobody_was_silent(candidate: Candidates, clock: FakeClock) -> None:
    first, second = candidate("a"), candidate("b")
    first.look()
    second.look()
    clock.advance(SILENCE)

    second.forget()

    assert not second.look()
    clock.advance(SILENCE)
    assert second.look()


def test_one_that_leaves_is_followed_at_once(candidate: Candidates) -> None:
    first, second = candidate("a"), candidate("b")
    first.look()
    assert not second.look()

    first.leave()

    assert second.look()


def test_on_one_host_the_lock_tells_at_once_that_a_leader_is_dead(candidate: Candidates, tmp_path: Path) -> None:
    first, second = candidate("a", "home"), candidate("b", "home")
    first.look()
    assert not second.look()

    (tmp_path / "home" / "a.lock").unlink()
    (tmp_path / "home" / "a.lock").touch()  # held by nobody

    assert second.look()
    assert not (tmp_path / "home" / "a.lock").exists()


def test_of_two_that_see_a_dead_leader_one_follows(candidate: Candidates, clock: FakeClock) -> None:
    dead, one, two = candidate("a"), candidate("b"), candidate("c")
    dead.look()
    for each in (one, two):
        each.look()
    clock.advance(SILENCE)

    assert [one.look(), two.look()] == [True, False]
