"""A trigger that blocks the loop is named."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from clockmill.testing import FakeClock
from clockmill.triggerer.steps import LONG_STEP, StepWatch


def warnings(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [(vars(record)["trigger"], vars(record)["seconds"]) for record in caplog.records]


async def step(clock: FakeClock, *lengths: float) -> str:
    for length in lengths:
        clock.advance(length)
        await asyncio.sleep(0)
    return "done"


def test_a_step_is_too_long_at_half_a_second_and_not_before(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    watch = StepWatch(clock)
    assert asyncio.run(watch(step(clock, LONG_STEP - 0.001, 0.4, 0.4), "quick")) == "done"
    assert warnings(caplog) == []
    assert asyncio.run(watch(step(clock, LONG_STEP), "slow")) == "done"
    assert warnings(caplog) == [("slow", 0.5)]


def test_one_that_always_blocks_is_named_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    watch = StepWatch(clock)
    asyncio.run(watch(step(clock, *[1.0] * 121), "slow"))
    assert len(warnings(caplog)) == 3


def test_one_that_never_comes_back_is_named_while_it_blocks(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    watch = StepWatch(clock)
    watch.enter("stuck")
    clock.advance(4.9)
    watch.look()
    assert warnings(caplog) == []
    for _ in range(3):
        clock.advance(5)
        watch.look()
    assert warnings(caplog) == [("stuck", 9.9)]


def test_what_is_thrown_in_and_what_is_raised_come_through() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            raise ValueError("cancelled") from None
        return "never"

    async def work() -> None:
        task = asyncio.create_task(StepWatch(FakeClock())(stubborn(), "x"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(ValueError, match="cancelled"):
            await task

    asyncio.run(work())
