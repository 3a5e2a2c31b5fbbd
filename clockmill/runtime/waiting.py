"""Waiting in the author's own process for what a triggerer or the scheduler would wait for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clockmill.clock import Clock, parse_iso
from clockmill.ids import new_attempt_id
from clockmill.protocols import TRIGGER_TIMEOUT, AttemptReport, StatesQuery, StatesSeen, Workload
from clockmill.runtime.channel import TaskChannel
from clockmill.state import Outcome
from clockmill.triggers.classpath import find_class
from clockmill.triggers.reads import reading_by
from clockmill.triggers.running import failure_text, first_event
from clockmill.xcom import decode, encode


def next_attempt(workload: Workload, report: AttemptReport, channel: TaskChannel, clock: Clock) -> Workload:
    """Wait until a task that gave its slot back goes on; returns the attempt with which it does.

    :param report: of an attempt that ended ``deferred`` or ``rescheduled``.
    """
    resume: dict[str, Any] = {"xcoms": report.xcoms}
    context = {**workload.context, "first_start": workload.context.get("first_start") or report.started_at}
    if report.outcome == Outcome.DEFERRED and report.defer is not None:
        resume |= {"method": report.defer["method"], "kwargs": report.defer["method_kwargs"]}
        resume |= _outcome_of(report.defer, channel)
    elif report.look_again_at is not None:
        context["reschedules"] = context.get("reschedules", 0) + 1
        clock.sleep(max(0.0, (parse_iso(report.look_again_at) - clock.now()).total_seconds()))
    return replace(workload, attempt_id=new_attempt_id(), resume=resume, context=context)


class _Reads:
    """What a trigger may look at here; satisfies :class:`~clockmill.triggers.reads.TriggerReads`."""

    def __init__(self, channel: TaskChannel) -> None:
        self._channel = channel

    async def get_states(self, query: StatesQuery) -> StatesSeen:
        return self._channel.get_states(query)


def _outcome_of(defer: dict[str, Any], channel: TaskChannel) -> dict[str, Any]:
    import asyncio

    with reading_by(_Reads(channel)):
        return asyncio.run(_run(defer))


async def _run(defer: dict[str, Any]) -> dict[str, Any]:
    import asyncio

    limit = asyncio.timeout(defer["timeout"])
    try:
        trigger = find_class(defer["class_path"])(**decode(defer["kwargs"], allow_classes=True))
        try:
            async with limit:
                event = await first_event(trigger)
        finally:
            await trigger.cleanup()
        return {"event": encode(event.payload)}
    except Exception as error:  # noqa: BLE001 - triggers of authors may raise anything
        if isinstance(error, TimeoutError) and limit.expired():
            return {"error": TRIGGER_TIMEOUT}
        return {"error": failure_text(error)}
