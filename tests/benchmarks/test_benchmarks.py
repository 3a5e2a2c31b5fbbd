"""The benchmarks' own arithmetic. What they measure is never asserted here."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import celery, processes
from benchmarks.__main__ import NAMES
from benchmarks.bare_celery import bare_celery
from benchmarks.figures import Figure
from clockmill.testing.servers import RedisServer

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


def test_each_is_measured_in_turn_and_compared_with_bare_celery_round_by_round() -> None:
    order: list[str] = []

    def contestant(name: str, values: list[float]) -> celery.Rate:
        left = iter(values)

        def rate(tasks: int) -> float:
            order.append(name)
            return next(left)

        return rate

    speeds = {
        celery.BARE: [1.0, 100.0, 400.0],
        celery.MILL: [1.0, 80.0, 200.0],
        celery.BARE_ALONE: [1.0, 10.0, 10.0],
        celery.MILL_ALONE: [1.0, 30.0, 50.0],
    }
    rates = celery.in_turn({name: contestant(name, values) for name, values in speeds.items()}, 3, 10)
    figures = celery.figures(rates, 10)
    assert order == [*speeds] * 3
    assert [list(figure.values) for figure in figures[4:]] == [[0.8, 0.5], [3.0, 5.0]]


@pytest.mark.broker
def test_bare_celery_runs_each_task_once_and_has_a_rate(redis: RedisServer, tmp_path: Path) -> None:
    redis.wipe()
    with bare_celery(redis.url(), tmp_path) as bare:
        assert bare.rate(3) > 0
        assert bare.rate(4) > 0
    assert len((tmp_path / "times").read_text().splitlines()) == 7
