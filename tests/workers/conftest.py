"""A bench with attempts, an office that offers them, and workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clockmill.executors.local import LocalExecutor
from clockmill.testing.bench import ExecutorBench
from tests.workers.office import Hired, Office


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """An office over a bench; afterwards no process and no descriptor may be left."""
    bench = ExecutorBench(tmp_path, LocalExecutor, {}, {})
    office = Office(bench)
    yield office
    os.close(office.bell)
    bench.close()


@pytest.fixture
def hire(office: Office) -> Iterator[Callable[..., Hired]]:
    """Starts workers; afterwards each is stopped."""
    hired: list[Hired] = []

    def start(**fields: Any) -> Hired:
        hired.append(Hired(office, **fields))
        return hired[-1]

    yield start
    office.trouble = None
    for each in hired:
        each.worker.stop()
        each.worker.stop()
    for each in hired:
        each.join()
