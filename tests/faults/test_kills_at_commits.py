"""A real scheduler is killed right before or after one of its commits, again and again; then one is left alone."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from itertools import count

import pytest

from tests.faults.harness import Mill, wait_until

#: Commits of a scheduler, counted from its start; each kill finds what the ones before left.
KILLS = (1, 2, 3, 5, 8, 12, 17, 23)
TICKS = {f"ticks/scheduled__2026-01-0{day}T00:00:00+00:00" for day in range(1, 7)}


def kill_along_the_way(mill: Mill, points: Iterable[str], *arguments: str) -> None:
    """Start a service once for each point, with new runs to do until it is killed there."""
    mill.parse("fan.py", "ticks.py")
    mill.answered |= TICKS
    mill.trigger("fan", "all")
    numbers = count()
    for point in points:
        mill.trigger("ticks", f"kill{next(numbers)}")
        service = mill.start(*arguments, probes=f"store.commit.{point}=kill")
        while not service.is_over():
            wait_until(lambda now=service: now.is_over() or mill.is_done(), f"commit {point}", tell=mill.tell)
            if mill.is_done():
                mill.trigger("ticks", f"kill{next(numbers)}")
        assert service.process.returncode == -signal.SIGKILL, service.said()


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_scheduler_killed_at_its_commits_loses_nothing_and_runs_nothing_twice(mill: Mill, side: str) -> None:
    kill_along_the_way(mill, [f"{side}:{number}" for number in KILLS], "scheduler")

    last = mill.start("scheduler", "--grace", "5")
    mill.trigger("ticks", "last")
    mill.wait_for_runs()

    mill.check()
    assert last.end() == 0
    mill.check_gone()


def test_standalone_killed_at_commits_of_any_of_its_services_loses_nothing(mill: Mill) -> None:
    kill_along_the_way(mill, ["before:4", "after:9", "before:15"], "standalone", "--port", "0")

    last = mill.standalone("--grace", "5")
    mill.trigger("ticks", "last")
    mill.wait_for_runs()

    mill.check()
    assert last.end() == 0
    mill.check_gone()
