"""One try of a task that waits, over all of its attempts, without a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from clockmill import DAG, BaseOperator
from clockmill.clock import iso, parse_iso
from clockmill.protocols import AttemptReport, StatesQuery, StatesSeen, Workload
from clockmill.runtime import pipeline
from clockmill.testing import FakeClock
from clockmill.xcom import decode, encode

#: A Saturday.
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def run_of(state: str, run_id: str = "r", date: datetime | None = None, **tasks: Mapping[str, int]) -> dict[str, Any]:
    """A run as a gateway tells of it."""
    return {"run_id": run_id, "logical_date": date and iso(date), "state": state, "tasks": tasks}


@dataclass
class Channel:
    """Tells what the test says of other DAGs."""

    answer: Callable[[StatesQuery], StatesSeen] = lambda query: StatesSeen(is_known=True)
    connections: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    queries: list[StatesQuery] = field(default_factory=list)

    def get_states(self, query: StatesQuery) -> StatesSeen:
        self.queries.append(query)
        return self.answer(query)

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        return self.connections.get(conn_id)

    def get_xcoms(self, **asked: Any) -> list[tuple[str, int, str]]:
        return []

    def get_previous_run(self) -> dict[str, str | None]:
        return {}

    def get_variable(self, key: str) -> str | None:
        return None

    def started(self, at: str) -> None:
        """Nobody watches."""


@dataclass
class Try:
    """Runs attempts of one try of the task ``x``, and remembers between them what the rows would."""

    task: BaseOperator
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOON))
    channel: Channel = field(default_factory=Channel)
    run: dict[str, Any] = field(default_factory=dict)
    first_start: str | None = None
    reschedules: int = 0
    reports: list[AttemptReport] = field(default_factory=list)

    def attempt(self, resume: dict[str, Any] | None = None) -> AttemptReport:
        """One attempt, now."""
        dag = self.task.dag
        assert dag is not None
        started = iso(self.clock.now())
        workload = Workload(
            attempt_id="a",
            token="t",
            dag_id=dag.dag_id,
            run_id="scheduled__1",
            task_id=self.task.task_id,
            bundle="",
            bundle_path="",
            file="",
            log_path="",
            resume=resume,
            context={
                "dag_run": {"run_type": "scheduled", "logical_date": iso(NOON), "run_after": iso(NOON), **self.run},
                "max_tries": 3,
                "first_start": self.first_start,
                "reschedules": self.reschedules,
            },
        )
        report = pipeline.execute(workload, load=lambda: dag, channel=self.channel, clock=self.clock)
        self.first_start = self.first_start or started
        self.reports.append(report)
        return report

    def go_on(self, event: Any = None, *, error: str | None = None) -> AttemptReport:
        """The attempt after a deferral."""
        told = self.reports[-1].defer
        assert told is not None
        resume: dict[str, Any] = {"method": told["method"], "kwargs": told["method_kwargs"]}
        return self.attempt(resume | ({"error": error} if error else {"event": encode(event)}))

    def work(self) -> AttemptReport:
        """Attempts until it is not rescheduled any more, each at the moment that the one before asked for."""
        while (report := self.attempt()).outcome == "rescheduled":
            assert report.look_again_at is not None
            self.clock.set(parse_iso(report.look_again_at))
            self.reschedules += 1
        return report


def result_of(report: AttemptReport) -> Any:
    """What the task returned."""
    values = dict(report.xcoms)
    return decode(values["return_value"]) if "return_value" in values else None


def one_try(kind: Callable[..., BaseOperator], *, timezone: str = "UTC", **arguments: Any) -> Try:
    """A try of a task of that kind."""
    with DAG("d", schedule=None, timezone=timezone):
        return Try(kind(task_id="x", **arguments))
