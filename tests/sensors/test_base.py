"""How sensors wait: modes, back-off, time-outs, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockmill import DAG, BaseSensorOperator, PokeReturnValue, SkipTask
from clockmill.errors import DagDefinitionError, FailTask
from clockmill.sensors.backoff import LONGEST, backoff
from clockmill.triggers.temporal import DateTimeTrigger
from tests.waiting import NOON, one_try, result_of


class Counts(BaseSensorOperator):
    """Is satisfied at the look of that number; before, it does what it is told to."""

    can_defer = True

    def __init__(self, *, at: int = 10**9, before: Callable[[], Any] = lambda: False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.at = at
        self.before = before

    def poke(self, context: Any) -> Any:
        looks.append(context["ti"].clock.now() - NOON)
        return PokeReturnValue(True, "seen") if len(looks) >= self.at else self.before()

    def make_trigger(self, context: Any) -> DateTimeTrigger:
        return DateTimeTrigger(NOON)

    def execute_complete(self, context: Any, event: Any = None) -> Any:
        return event


looks: list[timedelta] = []


@pytest.fixture(autouse=True)
def _forget_looks() -> None:
    looks.clear()


def fails(error: Exception) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


def seconds() -> list[float]:
    return [look.total_seconds() for look in looks]


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_it_looks_each_interval_until_it_is_so_and_returns_what_was_found(mode: str) -> None:
    waiting = one_try(Counts, at=4, poke_interval=10, mode=mode)
    assert result_of(waiting.work()) == "seen"
    assert seconds() == [0, 10, 20, 30]
    assert len(waiting.reports) == (1 if mode == "poke" else 4)


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_the_last_look_is_when_the_time_is_up_and_then_it_fails_for_good(mode: str) -> None:
    report = one_try(Counts, poke_interval=10, timeout=25, mode=mode).work()
    assert seconds() == [0, 10, 20, 25]
    assert (report.outcome, report.no_retry) == ("failed", True)
    assert report.reason == "SensorTimeout: What the sensor waits for did not come within 0:00:25."


def test_the_time_counts_from_the_first_start_over_a_death_of_the_process() -> None:
    waiting = one_try(Counts, poke_interval=10, timeout=25)
    waiting.first_start = "2026-01-31T11:59:50+00:00"
    assert waiting.attempt().outcome == "failed"
    assert seconds() == [0, 10, 15]


def test_a_deferred_sensor_looks_once_and_hands_over_with_what_is_left_of_its_time() -> None:
    waiting = one_try(Counts, deferrable=True, timeout=100)
    waiting.first_start = "2026-01-31T11:59:00+00:00"
    report = waiting.attempt()
    assert report.outcome == "deferred"
    assert report.defer is not None
    assert (report.defer["timeout"], report.defer["method"]) == (40.0, "execute_complete")
    assert result_of(waiting.go_on("come")) == "come"


@pytest.mark.parametrize("how", [{"mode": "deferrable"}, {"deferrable": True}])
def test_a_deferred_sensor_that_finds_it_at_once_is_not_deferred(how: dict[str, Any]) -> None:
    assert one_try(Counts, at=1, **how).attempt().outcome == "success"


@pytest.mark.parametrize(("soft", "outcome"), [({}, "failed"), ({"soft_fail": True}, "skipped")])
def test_a_trigger_that_does_not_fire_in_time_is_a_time_out_of_the_sensor(soft: dict[str, Any], outcome: str) -> None:
    waiting = one_try(Counts, deferrable=True, timeout=60, **soft)
    waiting.attempt()
    report = waiting.go_on(error="timeout")
    assert (report.outcome, report.no_retry) == (outcome, outcome == "failed")
    assert "SensorTimeout: What the sensor waits for did not come within 0:01:00." in report.reason


@pytest.mark.parametrize(
    ("arguments", "before", "outcome", "no_retry"),
    [
        ({}, fails(ValueError("x")), "failed", False),
        ({"soft_fail": True}, fails(ValueError("x")), "failed", False),
        ({"never_fail": True}, fails(ValueError("x")), "skipped", False),
        ({"silent_fail": True, "timeout": 20}, fails(ValueError("x")), "failed", True),
        ({}, fails(FailTask("no")), "failed", True),
        ({"soft_fail": True}, fails(FailTask("no")), "skipped", False),
        ({"silent_fail": True}, fails(FailTask("no")), "failed", True),
        ({}, fails(SkipTask("no")), "skipped", False),
        ({"soft_fail": True, "timeout": 20}, lambda: False, "skipped", False),
        ({"never_fail": True, "timeout": 20}, lambda: False, "skipped", False),
    ],
)
def test_what_becomes_of_errors(arguments: dict[str, Any], before: Any, outcome: str, no_retry: bool) -> None:
    report = one_try(Counts, before=before, poke_interval=10, **arguments).work()
    assert (report.outcome, report.no_retry) == (outcome, no_retry)


def test_an_error_that_is_silent_counts_as_not_yet() -> None:
    waiting = one_try(Counts, at=3, before=fails(ValueError("x")), poke_interval=10, silent_fail=True)
    assert result_of(waiting.attempt()) == "seen"


def test_waits_that_grow_are_the_same_in_both_modes_and_end_at_the_longest() -> None:
    found = []
    for mode in ("poke", "reschedule"):
        looks.clear()
        one_try(Counts, at=9, mode=mode, poke_interval=10, exponential_backoff=True, max_wait=200).work()
        found.append(seconds())
    waits = [later - sooner for sooner, later in zip(found[0], found[0][1:], strict=False)]
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert all(5 * 2**n <= wait < 10 * 2**n for n, wait in enumerate(waits[:5]))
    assert waits[6:] == pytest.approx([200, 200])


def test_the_longest_wait_also_holds_for_waits_that_do_not_grow() -> None:
    one_try(Counts, at=3, poke_interval=10, max_wait=4).work()
    assert seconds() == [0, 4, 8]


@given(
    base=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=365)),
    number=st.integers(min_value=1, max_value=10**6),
    longest=st.none() | st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=9999)),
    seed=st.text(max_size=5),
)
def test_a_wait_lies_within_its_bounds_and_is_the_same_each_time(
    base: timedelta, number: int, longest: timedelta | None, seed: str
) -> None:
    wait = backoff(base, number, seed=seed, longest=longest)
    cap = min(longest if longest is not None else LONGEST, LONGEST).total_seconds()
    lower = min(base.total_seconds() * 2.0 ** (min(number, 60) - 2), cap)
    assert lower - 1e-6 <= wait.total_seconds() <= min(2 * lower, cap) + 1e-6
    assert wait == backoff(base, number, seed=seed, longest=longest)


def test_sensors_that_begin_together_do_not_all_look_together() -> None:
    waits = {backoff(timedelta(minutes=1), 3, seed=f"d/r/{name}") for name in range(100)}
    assert len(waits) == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "rescedule"}, "mode must be one of poke, reschedule, deferrable, not 'rescedule'; perhaps you mean"),
        ({"poke_interval": -1}, "poke_interval must be a timedelta or a number of seconds, not negative"),
        ({"timeout": "1h"}, "timeout must be a timedelta or a number of seconds"),
        ({"soft_fail": True, "never_fail": True}, "give soft_fail or never_fail, not both"),
    ],
)
def test_what_cannot_be_is_refused_in_the_file(arguments: dict[str, Any], message: str) -> None:
    with DAG("d"), pytest.raises(DagDefinitionError, match="Counts 'x'") as refused:
        Counts(task_id="x", **arguments)
    assert message in str(refused.value)


def test_a_sensor_without_a_trigger_cannot_be_deferred() -> None:
    class Plain(BaseSensorOperator):
        def poke(self, context: Any) -> bool:
            return True

    with DAG("d"), pytest.raises(DagDefinitionError, match="no trigger looks for it; mode='reschedule' holds no slot"):
        Plain(task_id="x", deferrable=True)


def test_default_arguments_reach_sensors() -> None:
    with DAG("d", default_args={"poke_interval": 7, "mode": "reschedule"}):
        sensor = Counts(task_id="x")
    assert (sensor.poke_interval, sensor.reschedule) == (timedelta(seconds=7), True)
