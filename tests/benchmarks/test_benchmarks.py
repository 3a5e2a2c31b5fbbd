"""The benchmarks' own arithmetic. What they measure is never asserted here."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.__main__ import NAMES
from benchmarks.figures import Figure

ROOT = Path(__file__).parents[2]


def test_a_figure_tells_its_median_and_its_spread() -> None:
    told = Figure(name="fan-out", unit="tasks/s", values=[300.0, 100.0, 200.0]).to_json()
    assert (told["median"], told["lowest"], told["highest"]) == (200.0, 100.0, 300.0)


def test_the_tree_of_a_process_holds_its_children_and_their_memory() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        pids = processes.tree(parent.pid)
        weight = processes.pss_megabytes(pids)
        parent.communicate(b"\n")
    assert len(pids) == 2
    assert weight > 1


def test_a_process_that_is_gone_weighs_nothing() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert processes.pss_megabytes([gone.pid]) == 0
    assert processes.cpu_seconds([gone.pid]) == 0


@pytest.mark.parametrize("module", NAMES.values())
def test_every_benchmark_named_is_there(module: str) -> None:
    assert callable(importlib.import_module(f"benchmarks.{module}").run)


def test_an_unknown_benchmark_is_refused_with_the_names_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "fanout"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 2
    assert "fan-out" in done.stderr
