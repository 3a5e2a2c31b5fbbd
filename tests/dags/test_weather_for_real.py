"""The weather example in the running program: unpaused, it catches up over its month and fills its table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clockmill.clock import SystemClock

pytestmark = pytest.mark.timeout(180)

PATIENCE = 120.0
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "WEATHER_DATABASE"}


def call(home: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "clockmill", *arguments, "--home", str(home)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """The home of a running program that shows the examples."""
    command = [sys.executable, "-m", "clockmill", "standalone", "--port", "0", "--home", str(tmp_path / "home")]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        assert program.stdout is not None
        assert program.stdout.readline().startswith(b"ready ")
        yield tmp_path / "home"
        program.terminate()


def runs_of(home: Path, dag_id: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(call(home, "dags", "list-runs", dag_id, "--output", "json"))
    return runs


def eventually(look: Callable[[], bool]) -> None:
    clock = SystemClock()
    give_up_at = clock.monotonic() + PATIENCE
    while not look():
        assert clock.monotonic() < give_up_at, "it never came"
        clock.sleep(0.2)


def test_a_month_of_weather_is_caught_up_with(
    home: Path, expected_rows: list[Any], stored_rows: Callable[[Path], list[Any]]
) -> None:
    eventually(lambda: "weather_pipeline" in call(home, "dags", "list"))
    call(home, "dags", "unpause", "weather_pipeline")
    eventually(lambda: [run["state"] for run in runs_of(home, "weather_pipeline")] == ["success"] * 31)
    assert stored_rows(home / "output" / "weather.db") == expected_rows
