"""``dag.test()`` waits itself for what a triggerer or the scheduler would wait for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from clockmill import DAG, BaseOperator
from clockmill.errors import RescheduleTask
from clockmill.testing import FakeClock, run_dag
from clockmill.triggers import BaseTrigger, TriggerEvent

cleaned: list[str] = []


class Bell(BaseTrigger):
    """Rings once, fails or never rings."""

    def __init__(self, sound: str) -> None:
        self.sound = sound

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(0)
        if self.sound == "crack":
            raise ValueError("the bell cracked")
        if self.sound == "silence":
            await asyncio.Event().wait()
        yield TriggerEvent(self.sound)

    async def cleanup(self) -> None:
        cleaned.append(self.sound)


class Listens(BaseOperator):
    """Waits for two bells in turn."""

    def __init__(self, *, sounds: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sounds = sounds

    def execute(self, context: Any) -> Any:
        context["ti"].xcom_push("ready", True)
        self._listen(0)

    def heard(self, context: Any, event: str, number: int) -> Any:
        if number + 1 < len(self.sounds):
            self._listen(number + 1)
        return [event, context["ti"].xcom_pull(key="ready")]

    def _listen(self, number: int) -> None:
        timeout = timedelta(0) if self.sounds[number] == "silence" else None
        self.defer(trigger=Bell(self.sounds[number]), method_name="heard", kwargs={"number": number}, timeout=timeout)


def listen(*sounds: str, **arguments: Any) -> Any:
    cleaned.clear()
    with DAG("d", schedule=None) as dag:
        Listens(task_id="x", sounds=list(sounds), **arguments)
    return run_dag(dag).get_task_instance("x")


def test_triggers_are_run_in_turn_and_what_was_pushed_before_is_kept() -> None:
    task = listen("ding", "dong")
    assert (task.state, task.try_number, task.xcom_pull()) == ("success", 1, ["dong", True])
    assert cleaned == ["ding", "dong"]


def test_a_trigger_that_fails_or_says_nothing_in_time_fails_the_task_and_uses_a_try() -> None:
    task = listen("crack", retries=1)
    assert (task.state, task.try_number) == ("failed", 2)
    assert task.reason == "TaskDeferralError: ValueError: the bell cracked"
    assert listen("silence").reason.startswith("TaskDeferralTimeout")
    assert cleaned == ["silence"]


def test_a_reschedule_sleeps_on_the_clock_and_counts() -> None:
    seen = []
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))

    class Looks(BaseOperator):
        def execute(self, context: Any) -> None:
            seen.append((clock.now().minute, context["task_reschedule_count"], context["ti"].first_start.minute))
            if len(seen) < 3:
                raise RescheduleTask(clock.now() + timedelta(minutes=5))

    with DAG("d", schedule=None) as dag:
        Looks(task_id="x")
    assert run_dag(dag, clock=clock).state == "success"
    assert seen == [(0, 0, 0), (5, 1, 0), (10, 2, 0)]
