"""A task that asked for memory is held to it, with all that it starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from clockmill.clock import parse_iso
from clockmill.host import memory
from clockmill.host.processes import ATTEMPT_MARK, marked
from clockmill.runtime.supervisor.memory import MemoryWatch
from clockmill.testing.clock import FakeClock

pytestmark = pytest.mark.fault

MB = 1 << 20
EATER = """
import signal, subprocess, sys
GREEDY = "import signal; block = b'x' * (300 << 20); signal.pause()"
def eat():
    exec(GREEDY)
def stubborn():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    eat()
def leave_it():
    subprocess.run(["sh", "-c", '("$0" -c "$1" &); exec sleep 1000', sys.executable, GREEDY])
def modest():
    pass
"""


@pytest.mark.parametrize("kind", ["local", "subprocess"])
def test_a_task_that_uses_more_memory_than_it_asked_for_is_ended_and_says_so(bench):
    bench.dag_file(EATER)
    report = bench.run(bench.executor(), "eat", resources={"memory": 200 * MB})
    assert report.outcome == "failed"
    assert report.reason.startswith("It used ")
    assert report.reason.endswith(" MB of the 200 MB that it asked for.")
    assert report.peak_memory_kb > 200 << 10
    assert f"{report.reason} Sending SIGTERM." in bench.log("eat")


def test_what_a_task_starts_counts_and_goes_with_it(bench):
    bench.dag_file(EATER)
    report = bench.run(bench.executor(), "leave_it", resources={"memory": 200 * MB})
    assert report.outcome == "failed"
    assert report.reason.endswith(" MB of the 200 MB that it asked for.")
    assert report.peak_memory_kb > 200 << 10
    assert marked(ATTEMPT_MARK, report.attempt_id) == []


def test_one_that_ignores_term_is_killed_at_the_next_look_not_after_its_grace(bench):
    bench.dag_file(EATER)
    report = bench.run(bench.executor(), "stubborn", resources={"memory": 200 * MB}, kill_grace=300.0)
    assert (report.outcome, report.signal) == ("failed", 9)
    assert "of the 200 MB" in report.reason


def test_a_kill_from_outside_is_probably_for_want_of_the_memory_that_was_asked_for(bench):
    bench.dag_file("import os\ndef die(): os.kill(os.getpid(), 9)")
    report = bench.run(bench.executor(), "die", resources={"memory": 4 << 30})
    assert report.outcome == "lost"
    assert report.reason.startswith(
        "It was killed by SIGKILL (probably out of memory: it asked for 4 GB); its peak was "
    )


def test_other_resources_are_no_limit_of_memory(bench):
    bench.dag_file(EATER)
    assert bench.run(bench.executor(), "modest", resources={"cpu": 1, "gpu": 1}).outcome == "success"


# --- what is shared --------------------------------------------------------------------------------------------------

SHARED = """
import os, sys, time
block = bytearray(b"x" * (100 << 20))
for _ in range(3):
    if os.fork() == 0:
        os.read(0, 1)
        os._exit(0)
print("ready", flush=True)
os.read(0, 1)
"""


@pytest.fixture
def sharing() -> Iterator[int]:
    """A process with three children, and 100 MB that all of them share."""
    with subprocess.Popen([sys.executable, "-c", SHARED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid


def test_what_processes_share_is_counted_once(sharing: int, bench) -> None:
    family = memory.family(sharing, sharing)
    assert len(family) == 4
    assert memory.resident(family) > 400 * MB
    assert 100 * MB < memory.proportional(family) < 200 * MB
    clock, told = FakeClock(parse_iso("2026-01-01T00:00:00+00:00")), []
    watch = MemoryWatch(clock, lambda ident, used: told.append(ident))
    generous = bench.workload("generous", resources={"memory": 200 * MB})
    scanty = bench.workload("scanty", resources={"memory": 90 * MB})
    for workload in (generous, scanty, bench.workload("carefree")):
        watch.begin(workload, sharing, sharing)
    clock.advance(0.999)
    watch.check(clock.monotonic())
    assert told == []
    clock.advance(0.001)
    watch.check(clock.monotonic())
    assert told == [scanty.attempt_id]
    assert 100 << 10 < watch.end(generous.attempt_id) < 200 << 10
    assert watch.end("carefree") == 0
