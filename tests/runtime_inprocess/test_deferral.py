"""A task that gives its slot back: what is reported, and how it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from clockmill import DAG, BaseOperator
from clockmill.errors import RescheduleTask, TaskDeferralTimeout, UsageError
from clockmill.protocols import TRIGGER_TIMEOUT, AttemptReport, Workload
from clockmill.runtime import pipeline
from clockmill.testing import FakeClock
from clockmill.triggers import BaseTrigger, TriggerEvent
from clockmill.xcom import decode, encode
from tests.runtime_inprocess.test_pipeline import WORKLOAD, Channel


class Door(BaseTrigger):
    """Waits for nothing."""

    def __init__(self, name: str, opens: datetime | None = None) -> None:
        self.name = name
        self.opens = opens

    async def run(self) -> AsyncIterator[TriggerEvent]:
        yield TriggerEvent({"name": self.name})

    class Handle(BaseTrigger):
        """A class in a class."""


class Elsewhere(BaseTrigger):
    """Says that its class is where nobody finds it."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return "no_such_module.Elsewhere", {}


class Waits(BaseOperator):
    """Pushes an XCom, waits, goes on."""

    def __init__(self, *, trigger: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trigger = trigger

    def execute(self, context: Any) -> Any:
        context["ti"].xcom_push("before", 1)
        self.defer(trigger=self.trigger, method_name="go_on", kwargs={"n": 2}, timeout=timedelta(minutes=5))

    def go_on(self, context: Any, event: Any, n: int) -> Any:
        return [event, n, context["ti"].xcom_pull(key="before")]


class Forgiving(Waits):
    """Takes a timeout for an answer."""

    def resume_execution(self, next_method: str, next_kwargs: Any, context: Any) -> Any:
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            return "late"


class Looks(BaseOperator):
    """Gives the slot back until noon."""

    def execute(self, context: Any) -> Any:
        raise RescheduleTask(datetime(2026, 1, 31, 12, tzinfo=UTC))


def attempt(kind: type[BaseOperator], resume: dict[str, Any] | None = None, **arguments: Any) -> AttemptReport:
    with DAG("d", schedule=None) as dag:
        kind(task_id="x", **arguments)
    context = {**WORKLOAD.context, **({"first_start": "2026-01-31T05:00:00+00:00"} if resume else {})}
    workload: Workload = replace(WORKLOAD, resume=resume, context=context)
    return pipeline.execute(workload, load=lambda: dag, channel=Channel(), clock=FakeClock())


RESUME = {"method": "go_on", "kwargs": '{"n":2}', "xcoms": [["before", "1"]]}


def test_a_deferral_tells_the_trigger_how_to_go_on_and_what_was_pushed() -> None:
    opens = datetime(2026, 2, 1, tzinfo=UTC)
    report = attempt(Waits, trigger=Door("a", opens))

    assert (report.outcome, report.reason) == ("deferred", "waits for Door, then goes on with go_on()")
    assert report.xcoms == [("before", "1")]
    assert report.defer is not None
    kwargs = report.defer.pop("kwargs")
    assert decode(kwargs) == {"name": "a", "opens": opens}
    assert report.defer == {
        "class_path": f"{__name__}.Door",
        "method": "go_on",
        "method_kwargs": '{"n":2}',
        "timeout": 300.0,
    }


def test_a_nested_class_is_a_trigger_as_well() -> None:
    report = attempt(Waits, trigger=Door.Handle())
    assert report.defer is not None
    assert report.defer["class_path"] == f"{__name__}.Door.Handle"


@pytest.mark.parametrize(
    ("trigger", "reason"),
    [
        (Elsewhere(), "The trigger Elsewhere says that its class is 'no_such_module.Elsewhere', which cannot be had"),
        (object(), "A task can only defer to a trigger, an object with serialize(), not to a object"),
        (Door(object()), "SerializationError"),  # type: ignore[arg-type]
        (Door("x" * (1 << 20)), "XComTooLarge"),
    ],
)
def test_a_trigger_that_no_other_process_could_make_fails_the_task_at_once(trigger: Any, reason: str) -> None:
    report = attempt(Waits, trigger=trigger)
    assert report.outcome == "failed"
    assert reason in report.reason
    assert report.xcoms == []


def test_the_method_gets_the_event_and_its_arguments_and_what_was_pushed_before_is_kept() -> None:
    report = attempt(Waits, {**RESUME, "event": encode({"name": "a"})})
    assert report.outcome == "success"
    assert decode(dict(report.xcoms)["return_value"]) == [{"name": "a"}, 2, 1]
    assert dict(report.xcoms)["before"] == "1"


def test_a_failed_trigger_fails_the_task_with_its_error_and_the_log_has_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    report = attempt(Waits, {**RESUME, "error": "ValueError: no door\nTraceback:\n  line 7"})
    assert (report.outcome, report.reason) == ("failed", "TaskDeferralError: ValueError: no door")
    assert not report.no_retry
    assert "Traceback:\n  line 7" in caplog.text


def test_a_timeout_is_an_error_of_its_own_that_an_operator_may_take_for_an_answer() -> None:
    timed_out = {**RESUME, "error": TRIGGER_TIMEOUT}
    assert attempt(Waits, timed_out).reason == "TaskDeferralTimeout: what the task waited for did not come in time"
    assert decode(dict(attempt(Forgiving, timed_out).xcoms)["return_value"]) == "late"


def test_a_method_that_is_not_there_is_named_with_the_nearest_one() -> None:
    report = attempt(Waits, {**RESUME, "method": "goon", "event": "null"})
    assert report.reason == ("TaskDeferralError: Waits has no method 'goon' to go on with. Did you mean 'go_on'?")


def test_a_reschedule_tells_when_to_look_again() -> None:
    report = attempt(Looks)
    assert (report.outcome, report.look_again_at) == ("rescheduled", "2026-01-31T12:00:00.000000+00:00")
    with pytest.raises(UsageError, match="time zone"):
        RescheduleTask(datetime(2026, 1, 31))  # noqa: DTZ001


def test_callbacks_at_the_start_are_called_once_for_a_try_and_none_while_it_waits() -> None:
    called: list[str] = []
    callbacks = {
        f"on_{name}_callback": lambda context, name=name: called.append(name)
        for name in ("execute", "success", "failure", "retry", "skipped")
    }
    attempt(Waits, trigger=Door("a"), **callbacks)
    assert called == ["execute"]
    attempt(Waits, {**RESUME, "event": "null"}, **callbacks)
    assert called == ["execute", "success"]


def test_the_try_began_when_its_first_attempt_did() -> None:
    seen = []

    class Notes(BaseOperator):
        def execute(self, context: Any) -> None:
            seen.append((context["ti"].first_start, context["task_reschedule_count"]))

    attempt(Notes, {"xcoms": []})
    attempt(Notes)
    assert seen == [(datetime(2026, 1, 31, 5, tzinfo=UTC), 0), (FakeClock().now(), 0)]
