"""The executors that are installed with this package are there, and refuse an ``executor_config`` in good time."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from clockmill.executors import registry
from clockmill.executors.subprocess import SubprocessExecutor


def installed() -> dict[str, str]:
    """The entry points of the package as they will be installed."""
    parser = ConfigParser()
    parser.read(Path(__file__).parents[2] / "setup.cfg")
    lines = parser["options.entry_points"][registry.GROUP].strip().splitlines()
    return {name.strip(): place.strip() for name, _, place in (line.partition("=") for line in lines)}


@pytest.mark.parametrize(("name", "place"), installed().items())
def test_an_executor_of_ours_can_be_loaded(name: str, place: str) -> None:
    assert registry.load(place).__name__.lower() == f"{name}executor"


def test_a_wrong_executor_config_is_found_before_anything_is_started() -> None:
    place = f"{SubprocessExecutor.__module__}:{SubprocessExecutor.__name__}"
    assert registry.config_problem(place, {"python": "/opt/venv"}) is None
    problem = registry.config_problem(place, {"pyhton": "/opt/venv"})
    assert problem is not None
    assert problem.startswith("there is no 'pyhton'. Did you mean 'python'?")
