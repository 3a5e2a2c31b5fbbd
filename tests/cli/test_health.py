"""``clockmill health``, which containers and people ask whether the services go round."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from clockmill import config
from clockmill.clock import SystemClock
from clockmill.host import processes
from clockmill.storage.components import beat
from clockmill.storage.engine import Database
from tests.cli.conftest import Program


@pytest.fixture
def seen(program: Program, monkeypatch: pytest.MonkeyPatch):
    """Has services been seen so many seconds ago, on this machine or another."""
    database = Database(config.load(program.home, environ={}).database_url)

    def note(name: str, seconds: float, host: str = "") -> None:
        moment = SystemClock().now() - timedelta(seconds=seconds)
        with monkeypatch.context() as patched:
            if host:
                patched.setattr("clockmill.storage.components.host_name", lambda: host)
            database.write(lambda c: beat(c, name, f"{name}-{host}-{seconds}", moment, period_seconds=5.0))

    yield note
    database.close()


def statuses(program: Program, *arguments: str) -> tuple[int, dict[str, list[str]]]:
    result = program("health", *arguments, "--output", "json")
    found: dict[str, list[str]] = {}
    for row in json.loads(result.stdout):
        found.setdefault(row["service"], []).append(row["status"])
    return result.exit_code, found


def test_a_scheduler_and_a_dag_processor_have_to_be_there(program, seen) -> None:
    seen("scheduler", 0)
    assert statuses(program) == (1, {"scheduler": ["healthy"], "dag-processor": ["missing"]})

    seen("dag-processor", 0)
    assert statuses(program) == (0, {"scheduler": ["healthy"], "dag-processor": ["healthy"]})
    assert statuses(program, "triggerer") == (1, {"triggerer": ["missing"]})


def test_what_has_been_silent_for_25_seconds_is_not_healthy_unless_another_one_is(program, seen) -> None:
    seen("dag-processor", 0)
    seen("scheduler", 60)
    assert statuses(program, "scheduler") == (1, {"scheduler": ["unhealthy"]})
    assert statuses(program)[0] == 1

    seen("scheduler", 15)
    assert statuses(program, "scheduler") == (0, {"scheduler": ["healthy", "unhealthy"]})
    assert statuses(program)[0] == 0


def test_here_counts_this_machine_alone(program, seen) -> None:
    seen("scheduler", 0, host="elsewhere")
    assert statuses(program, "scheduler") == (0, {"scheduler": ["healthy"]})
    assert statuses(program, "scheduler", "--here") == (1, {"scheduler": ["missing"]})

    seen("scheduler", 0, host=processes.host_name())
    assert statuses(program, "scheduler", "--here") == (0, {"scheduler": ["healthy"]})
