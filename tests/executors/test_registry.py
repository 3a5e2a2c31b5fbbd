"""Executors are found by name, and a wrong name is answered with the nearest."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from clockmill.errors import ConfigError
from clockmill.executors import registry
from clockmill.executors.local import LocalExecutor


@pytest.fixture(autouse=True)
def offered(monkeypatch):
    """Entry points as an installed package has them."""
    points = EntryPoints(
        [
            EntryPoint("local", "clockmill.executors.local:LocalExecutor", registry.GROUP),
            EntryPoint("broken", "no_such_module:Executor", registry.GROUP),
        ]
    )
    monkeypatch.setattr(registry, "entry_points", lambda **chosen: points.select(**chosen))


def test_an_executor_is_found_by_its_name():
    assert registry.load("local") is LocalExecutor


def test_a_wrong_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"There is no executor 'locl'\. Did you mean 'local'\?"):
        registry.load("locl")


def test_an_executor_that_cannot_be_imported_is_named():
    with pytest.raises(ConfigError, match=r"'broken' \(no_such_module:Executor\) cannot be loaded"):
        registry.load("broken")
