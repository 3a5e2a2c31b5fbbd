"""What the log tells of an outage of the database."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from clockmill.storage.outage import Outage
from clockmill.testing import FakeClock


def test_an_outage_is_told_when_it_begins_once_a_minute_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    outage = Outage(logging.getLogger("service"), clock)
    outage.is_over()
    for seconds in (0.0, 59.9, 0.1, 1.0):
        clock.advance(seconds)
        outage.goes_on(OSError("gone"))
    outage.is_over()
    outage.is_over()
    outage.goes_on(OSError("again"))

    assert [record.getMessage() for record in caplog.records] == [
        "the database is away, waiting: gone",
        "the database is away, waiting: gone",
        "the database is back after 61 s",
        "the database is away, waiting: again",
    ]
