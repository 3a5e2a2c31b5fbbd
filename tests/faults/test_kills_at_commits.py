"""A real scheduler is killed right before or after one of its commits, again and again; then one is left alone."""

from __future__ import annotations

import pytest

from tests.faults.harness import Mill, wait_until

#: Commits of a scheduler, counted from its start; each kill finds what the ones before left.
KILLS = (1, 2, 3, 5, 8, 12, 17, 23)
TICKS = {f"ticks/scheduled__2026-01-0{day}T00:00:00+00:00" for day in range(1, 7)}


def kill_along_the_way(mill: Mill, point: str, *arguments: str) -> int:
    """Start a service once for each of KILLS, with a new run to do; returns how often it was killed."""
    kills = 0
    for number in KILLS:
        mill.trigger("ticks", f"kill{number}")
        service = mill.start(*arguments, probes=f"store.commit.{point}:{number}=kill")
        wait_until(lambda now=service: now.is_over() or mill.is_done(), f"commit {number}", tell=mill.tell)
        kills += service.is_over()
        if not service.is_over():
            service.kill()
    return kills


@pytest.mark.parametrize("point", ["before", "after"])
def test_a_scheduler_killed_at_its_commits_loses_nothing_and_runs_nothing_twice(mill: Mill, point: str) -> None:
    mill.parse("fan.py", "ticks.py")
    mill.answered |= TICKS
    mill.trigger("fan", "all")

    kills = kill_along_the_way(mill, point, "scheduler")
    last = mill.start("scheduler", "--grace", "5")
    mill.wait_for_runs()

    assert kills >= len(KILLS) - 2
    mill.check()
    assert last.end() == 0
    mill.check_gone()
