"""The beat that a scheduler writes for its supervisors, and the time that it grants them with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from clockmill import config
from clockmill.scheduler.steps.leases import Leases
from clockmill.scheduler.steps.presence import Presence
from clockmill.scheduler.workspace import Workspace
from clockmill.storage.engine import Database
from clockmill.storage.supervisors import register
from clockmill.storage.tables import supervisor
from clockmill.testing import FakeClock
from clockmill.testing.executor import ScriptedExecutor

pytestmark = pytest.mark.postgres
LEASE, LONG = 60.0, 600.0


class Leased(ScriptedExecutor):
    """One supervisor ``s``, and what it was granted: until when, and for how long."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.runs: frozenset[str] = frozenset()
        self.granted: list[tuple[float, float]] = []

    def controlled(self) -> dict[str, frozenset[str]]:
        return {"s": self.runs}

    def grant(self, until: float, seconds: float, *, only: str | None = None) -> None:
        assert only == "s"
        self.granted.append((until, seconds))


@dataclasses.dataclass
class Side:
    """One scheduler's view of its supervisors and those of others."""

    space: Workspace
    executor: Leased
    presence: Presence
    leases: Leases

    def beat(self, seconds: float) -> None:
        sent_at = self.space.clock.since_boot()
        moment = self.space.clock.now()
        found = self.space.database.write(lambda connection: self.presence.write(connection, seconds, moment))
        self.presence.grant(found, seconds, sent_at)

    def row(self) -> tuple[bool, float | None]:
        found = select(supervisor.c.is_alive, supervisor.c.lease)
        return tuple(self.space.database.read(lambda connection: connection.execute(found).one()))  # type: ignore[return-value]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_side(postgres_url: str, clock: FakeClock, tmp_path: Path) -> Iterator[Callable[[], Side]]:
    """Makes schedulers on one PostgreSQL, where the supervisor ``s`` has been registered."""
    database = Database(postgres_url)
    database.write(
        lambda c: register(
            c, ident="s", executor="local", host="h", boot_id="b", pid=1, slots=2, epoch=1, now=clock.now()
        )
    )

    def make() -> Side:
        executor = Leased(clock)
        space = Workspace(database, clock, config.load(tmp_path, environ={}), {"local": executor})
        return Side(space, executor, Presence(space), Leases(space))

    yield make
    database.close()


def test_the_row_promises_a_lease_only_when_the_supervisor_knows_of_it(make_side: Callable[[], Side]) -> None:
    side = make_side()

    side.beat(LEASE)
    assert side.row() == (True, None)
    assert side.executor.granted == [(LEASE * 0.95, LEASE)]
    side.beat(LEASE)
    assert side.row() == (True, LEASE)


def test_a_shorter_lease_is_granted_before_it_is_written_and_a_longer_one_after(make_side: Callable[[], Side]) -> None:
    side = make_side()
    side.beat(LONG)
    side.beat(LONG)

    side.beat(LEASE)
    assert (side.row()[1], side.executor.granted[-1][1]) == (LONG, LEASE)
    side.beat(LEASE)
    assert (side.row()[1], side.executor.granted[-1][1]) == (LEASE, LEASE)
    side.beat(LONG)
    assert (side.row()[1], side.executor.granted[-1][1]) == (LONG, LONG)


def test_who_takes_a_supervisor_over_grants_no_more_than_its_row_says(make_side: Callable[[], Side]) -> None:
    before, after = make_side(), make_side()
    before.beat(LEASE)
    before.beat(LEASE)

    after.beat(LONG)
    assert (after.row()[1], after.executor.granted[-1][1]) == (LEASE, LEASE)
    after.beat(LONG)
    assert (after.row()[1], after.executor.granted[-1][1]) == (LONG, LONG)


def test_a_silent_supervisor_is_given_up_after_what_its_row_says_and_not_before(
    make_side: Callable[[], Side], clock: FakeClock
) -> None:
    silent, other = make_side(), make_side()
    silent.beat(LEASE)
    silent.beat(LEASE)

    assert not other.leases.run_once()
    clock.advance(LEASE - 0.001)
    assert not other.leases.run_once()
    clock.advance(0.001)
    assert other.leases.run_once()
    assert silent.row()[0] is False
    assert silent.executor.granted[-1][0] < LEASE


def test_a_supervisor_without_a_lease_is_never_given_up(make_side: Callable[[], Side], clock: FakeClock) -> None:
    side, other = make_side(), make_side()
    side.beat(LEASE)
    other.leases.run_once()
    clock.advance(10 * LONG)

    assert not other.leases.run_once()


def test_a_supervisor_that_was_given_up_gets_nothing_until_all_that_it_had_has_ended(
    make_side: Callable[[], Side], clock: FakeClock
) -> None:
    woken, other = make_side(), make_side()
    woken.beat(LEASE)
    woken.beat(LEASE)
    woken.executor.runs = frozenset({"a"})
    other.leases.run_once()
    clock.advance(LEASE)
    other.leases.run_once()
    granted = len(woken.executor.granted)

    woken.beat(LEASE)
    assert woken.row()[0] is False
    assert len(woken.executor.granted) == granted
    assert woken.space.untrusted == {"s"}

    woken.executor.runs = frozenset()
    woken.beat(LEASE)
    assert woken.row()[0] is True
    assert woken.executor.granted[-1] == (LEASE + LEASE * 0.95, LEASE)
    assert woken.space.untrusted == set()
