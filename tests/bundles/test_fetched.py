"""The bundles that workers fetch: the last ones stay, old ones go, and none that anybody uses."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from clockmill.bundles import Bundle, BundleIncomplete, BundleStore, FetchedBundles
from clockmill.clock import SystemClock
from clockmill.runtime.supervisor.holds import BundleHolds
from clockmill.testing.clock import FakeClock


class Machine:
    """A machine with a worker that keeps two bundles, and whoever has their code."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = FakeClock(SystemClock().now())  # as the file system has it
        self.source = BundleStore(tmp_path / "source")
        self.folder = tmp_path / "bundles"
        self.fetched = FetchedBundles(self.folder, self.clock, 2)
        self.made: dict[str, Bundle] = {}

    def bundle(self, text: str) -> Bundle:
        common, own = self.source.add(b"common", program=False), self.source.add(text.encode(), program=False)
        return self.made.setdefault(text, Bundle({"dags/common.py": common, "dags/own.py": own}))

    def use(self, text: str) -> Path:
        bundle = self.bundle(text)
        found = self.fetched.get(bundle.hash, lambda: bundle, self.contents)
        assert (found / "dags/own.py").read_text() == text
        return found

    def contents(self, hashes: Iterable[str]) -> dict[str, bytes]:
        return {each: self.source.read(each) for each in hashes}

    @property
    def there(self) -> set[str]:
        return {text for text, bundle in self.made.items() if (self.folder / bundle.hash).is_dir()}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_another_bundle_than_the_one_that_was_asked_for_is_not_taken(machine: Machine) -> None:
    wanted, other = machine.bundle("wanted"), machine.bundle("other")
    with pytest.raises(BundleIncomplete, match="is another one"):
        machine.fetched.get(wanted.hash, lambda: other, machine.contents)


def test_the_bundles_used_last_stay_and_older_ones_go_with_their_contents(machine: Machine) -> None:
    for text in ("one", "two", "three"):
        machine.use(text)
        machine.clock.advance(60)
    assert machine.there == {"one", "two", "three"}  # all of them were asked for within the last hour
    machine.clock.advance(3600)
    machine.use("one")
    machine.use("four")
    assert machine.there == {"one", "four"}
    left = {path.read_text() for path in (machine.folder / "objects").rglob("*") if path.is_file()}
    assert left == {"one", "four", "common"}
    machine.use("two")  # fetched again
    assert machine.there == {"one", "two", "four"}


def test_what_a_supervisor_holds_stays_until_the_kernel_lets_go_of_it(machine: Machine) -> None:
    needed: set[str] = set()
    holds = BundleHolds(lambda: needed)
    folder = str(machine.use("held"))
    holds.hold(folder)
    needed.add(folder)
    for number in range(20):
        holds.hold(str(machine.use(f"later {number}")))
    machine.clock.advance(7200)
    machine.use("new")
    assert {"held", "later 19", "new"} <= machine.there
    assert "later 0" not in machine.there  # it was used long ago, and nothing needs it
    needed.clear()
    for descriptor in holds._held.values():
        os.close(descriptor)
    assert len(machine.fetched.prune()) > 0
    assert "held" not in machine.there


def test_what_others_of_the_home_have_made_is_never_removed(machine: Machine) -> None:
    ours = BundleStore(machine.folder)
    bundle = machine.bundle("parsed here")
    ours.materialise(bundle, machine.contents)
    machine.use("parsed here")
    machine.use("fetched first")
    BundleStore(machine.folder).materialise(machine.bundle("fetched first"), machine.contents)
    for text in ("a", "b", "c"):
        machine.clock.advance(7200)
        machine.use(text)
    assert machine.there == {"parsed here", "fetched first", "b", "c"}


def test_a_removal_that_was_cut_short_is_ended_by_the_next(machine: Machine) -> None:
    for text in ("one", "two", "three"):
        folder = machine.use(text)
        machine.clock.advance(1)
    machine.clock.advance(7200)
    folder.rename(machine.folder / ".old-cut-short")
    machine.use("four")
    assert machine.there == {"two", "four"}
    assert not (machine.folder / ".old-cut-short").exists()
    assert not (machine.folder / "fetched" / machine.made["three"].hash).exists()
