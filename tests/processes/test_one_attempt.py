"""The plain course of an attempt: from a workload to the report and the log."""

from __future__ import annotations

import fcntl
import os
import re

import pytest

pytestmark = pytest.mark.parametrize("kind", ["local", "subprocess"])


def test_a_task_runs_and_its_end_is_reported(bench):
    bench.dag_file("def hello(): print('hello, world')")
    report = bench.run(bench.executor(), "hello")
    assert (report.outcome, report.exit_code, report.signal) == ("success", 0, None)
    assert report.started_at <= report.ended_at
    assert report.peak_memory_kb > 1000
    assert report.cpu_seconds > 0
    bundle = os.open(bench.bundle, os.O_RDONLY)
    with pytest.raises(BlockingIOError):  # whoever removes old bundles leaves it alone
        fcntl.flock(bundle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(bundle)


def test_the_log_opens_with_the_attempt_and_closes_with_how_it_ended(bench):
    bench.dag_file("def hello(): print('hello, world')")
    report = bench.run(bench.executor(), "hello")
    first, middle, *_, last = bench.log("hello").splitlines()
    assert f"attempt {report.attempt_id} of try 1" in first
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00 hello, world", middle)
    assert re.search(r"ended success: exit code 0, \d+\.\d{3} s, peak memory \d+\.\d MB$", last)
