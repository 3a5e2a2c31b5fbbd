"""An executor that runs nothing: a test says what becomes of each attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from clockmill.clock import Clock, iso
from clockmill.executors.base import (
    ExecutorEvent,
    Finished,
    Started,
    SupervisorDown,
    SupervisorInfo,
    SupervisorUp,
)
from clockmill.protocols import AttemptReport, Workload


class ScriptedExecutor:
    """Holds what it is given until :meth:`finish` or :meth:`die` is called.

    :param slots: how many attempts its one supervisor takes at once.
    :param resources: what it offers besides; None when it does not say.
    """

    name = "scripted"

    def __init__(
        self,
        clock: Clock,
        *,
        slots: int = 16,
        supervisor_id: str = "supervisor-1",
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self._clock = clock
        self.info = SupervisorInfo(
            id=supervisor_id, host="test-host", boot_id="boot", pid=1, slots=slots, resources=resources
        )
        self.held: dict[str, Workload] = {}
        self.unacknowledged: dict[str, AttemptReport] = {}
        self.stopped: list[str] = []
        self.submissions: list[str] = []
        self.takes_work = True
        self._events: list[ExecutorEvent] = []

    # --- what a test does ------------------------------------------------------------------------------------------

    def running(self) -> list[str]:
        """The task ids that it holds, in the order in which they came."""
        return [workload.task_id for workload in self.held.values()]

    @property
    def has_news(self) -> bool:
        """Whether there are events that nobody has asked for yet."""
        return bool(self._events)

    def workload(self, task_id: str, run_id: str | None = None, map_index: int | None = None) -> Workload:
        """What it holds for a task, the oldest when it holds several."""
        return next(
            workload
            for workload in self.held.values()
            if workload.task_id == task_id
            and run_id in (None, workload.run_id)
            and map_index in (None, workload.map_index)
        )

    def begin(self, task_id: str) -> None:
        """Say that the user's code of a task has begun."""
        workload = self.workload(task_id)
        self._events.append(Started(workload.attempt_id, workload.token, iso(self._clock.now())))

    def finish(
        self,
        task_id: str,
        outcome: str = "success",
        *,
        run_id: str | None = None,
        map_index: int | None = None,
        **report: object,
    ) -> str:
        """End the attempt of a task and report it; returns the attempt's id."""
        workload = self.workload(task_id, run_id, map_index)
        del self.held[workload.attempt_id]
        moment = iso(self._clock.now())
        plain = AttemptReport(attempt_id=workload.attempt_id, token=workload.token, outcome=outcome)
        told: dict[str, Any] = {"started_at": moment, "ended_at": moment, **report}
        ended = replace(plain, **told)
        self.unacknowledged[ended.attempt_id] = ended
        self._events.append(Finished(ended))
        return ended.attempt_id

    def die(self, supervisor_id: str = "supervisor-2") -> None:
        """Let the supervisor die with all that it holds, and a new one take its place."""
        self._events.append(SupervisorDown(self.info.id, "Its supervisor died."))
        self.held.clear()
        self.info = replace(self.info, id=supervisor_id)
        self._events.append(SupervisorUp(self.info, frozenset()))

    # --- what the scheduler asks -----------------------------------------------------------------------------------

    def start(self, epoch: int) -> None:
        holds = frozenset(self.held) | frozenset(self.unacknowledged)
        self._events.append(SupervisorUp(self.info, holds))
        self._events += [Finished(report) for report in self.unacknowledged.values()]

    def free_slots(self) -> dict[str, int]:
        return {self.info.id: self.info.slots - len(self.held)} if self.takes_work else {}

    def is_dead(self, supervisor_id: str) -> bool:
        return supervisor_id != self.info.id

    def submit(self, supervisor_id: str, workloads: Sequence[Workload]) -> None:
        for workload in workloads:
            self.submissions.append(workload.attempt_id)
            self.held[workload.attempt_id] = workload

    def stop_attempts(self, attempt_ids: Iterable[str], reason: str) -> None:
        for ident in attempt_ids:
            self.stopped.append(ident)
            if ident in self.held:
                self.finish(self.held[ident].task_id, "stopped", run_id=self.held[ident].run_id, reason=reason)

    def events(self) -> list[ExecutorEvent]:
        events, self._events = self._events, []
        return events

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        for ident in attempt_ids:
            self.unacknowledged.pop(ident, None)

    def filenos(self) -> list[int]:
        return []

    def look_again_in(self) -> float | None:
        return None

    def drain(self) -> None:
        self.takes_work = False

    def stop(self, grace: float) -> None:
        self.takes_work = False
        for workload in list(self.held.values()):
            self.finish(workload.task_id, "released", run_id=workload.run_id)

    def is_busy(self) -> bool:
        return False

    def detach(self) -> None:
        self.takes_work = False
