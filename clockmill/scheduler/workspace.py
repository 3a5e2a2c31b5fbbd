"""What the steps of a scheduler share: its database, its executors, and the runs that it has in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from clockmill.bundles import BundleStore
from clockmill.clock import Clock
from clockmill.config import Settings
from clockmill.events import Event, EventKind
from clockmill.executors.base import BrokeredExecutor, Executor, Offer
from clockmill.protocols import Workload
from clockmill.scheduler.handover import Handover
from clockmill.scheduler.log_notes import LogNote
from clockmill.scheduler.plans import Plans
from clockmill.scheduler.views import Views
from clockmill.storage.engine import Database
from clockmill.storage.records import RunRow
from clockmill.storage.transitions import NewCallback
from clockmill.storage.triggers import NewTrigger

ACTOR = "scheduler"


@dataclass
class Workspace:
    """Shared by the steps of one scheduler.

    :param executors: by name; the first is the default.
    :param has_peers: whether other schedulers work on this database, and have to be told of some of what happens here.
    :param had_mail: whether reports were ever found in the database.
    :param untrusted: supervisors that get nothing new, because they were given up.
    """

    database: Database
    clock: Clock
    settings: Settings
    executors: Mapping[str, Executor]
    brokered: Mapping[str, BrokeredExecutor] = field(init=False)
    plans: Plans = field(init=False)
    views: Views = field(init=False)
    handover: Handover = field(init=False, default_factory=Handover)
    has_peers: bool = False
    had_mail: bool = False
    untrusted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.brokered = {name: each for name, each in self.executors.items() if isinstance(each, BrokeredExecutor)}
        self.plans = Plans(BundleStore(self.settings.bundles_folder))
        self.views = Views(self.plans, self.settings.core.max_map_length)

    def free_slots(self) -> dict[str, dict[str, int]]:
        """The free slots by executor and supervisor."""
        room = {name: executor.free_slots() for name, executor in self.executors.items()}
        for free in room.values():
            for ident in free.keys() & self.untrusted:
                del free[ident]
        return room

    @property
    def takes_mail(self) -> bool:
        """Whether reports may wait in the database: of workers, or of supervisors of another host."""
        return bool(self.brokered) or not self.database.is_sqlite

    @property
    def default_executor(self) -> str:
        """The name of the executor for tasks that name none."""
        return next(iter(self.executors))


@dataclass
class Effects:
    """What is to be done after the commit, and the events that go with it.

    A transaction fills it anew each time that it is tried.

    :param workloads: what is handed to supervisors, by executor and supervisor.
    :param offers: what is offered to the workers of an executor, with its name.
    :param bells: the doorbells that are rung, by executor.
    :param callbacks: the calls of authors' functions that what happened asks for.
    :param calls_wait: whether such calls are left for the next pass.
    :param log_notes: what the logs of tries shall say besides.
    """

    workloads: dict[tuple[str, str], list[Workload]] = field(default_factory=dict)
    offers: list[tuple[str, Workload]] = field(default_factory=list)
    bells: dict[str, list[Offer]] = field(default_factory=dict)
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    stops: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    triggers: list[NewTrigger] = field(default_factory=list)
    callbacks: list[NewCallback] = field(default_factory=list)
    calls_wait: bool = False
    log_notes: list[LogNote] = field(default_factory=list)

    def wait_for(self, trigger: NewTrigger) -> None:
        """Let a deferred task wait; :attr:`triggers` that are there call the triggerers after the commit."""
        self.triggers.append(trigger)

    @property
    def next_timeout(self) -> datetime | None:
        """When the first of the triggers that tasks wait for now will be late."""
        return min((trigger.timeout_at for trigger in self.triggers if trigger.timeout_at is not None), default=None)

    def submit(self, executor: str, supervisor_id: str | None, workload: Workload) -> None:
        """Hand a workload to a supervisor; offer it to workers when there is none."""
        if supervisor_id is None:
            self.offers.append((executor, workload))
        else:
            self.workloads.setdefault((executor, supervisor_id), []).append(workload)

    def tell(self, kind: EventKind, now: datetime, run: RunRow | None = None, **fields: object) -> None:
        """Keep an event; ``task_id``, ``map_index`` and the like are taken from ``fields``, the rest is detail."""
        task_id = fields.pop("task_id", None)
        map_index = fields.pop("map_index", None)
        dag_id = fields.pop("dag_id", None)
        self.events.append(
            Event(
                kind=kind,
                at=now,
                actor=ACTOR,
                dag_id=run.dag_id if run else _text(dag_id),
                run_id=run.run_id if run else None,
                task_id=_text(task_id),
                map_index=map_index if isinstance(map_index, int) else None,
                detail=dict(fields),
            )
        )

    def told_to_stop(self) -> set[str]:
        """The attempts that executors will be told to stop."""
        return {ident for stops in self.stops.values() for ident, _ in stops}

    def perform(self, workspace: Workspace) -> None:
        """Do it: tell the executors. What gets lost here is found again from the rows."""
        executors = workspace.executors
        for (name, supervisor_id), workloads in self.workloads.items():
            executors[name].submit(supervisor_id, workloads)
        for name, bells in self.bells.items():
            workspace.brokered[name].offer(bells)
        for name, attempt_ids in self.acknowledged.items():
            if name in executors:  # of a supervisor that was given up, the executor may be another host's alone
                executors[name].acknowledge(attempt_ids)
        for name, stops in self.stops.items():
            for reason in sorted({reason for _, reason in stops}):
                executors[name].stop_attempts([ident for ident, why in stops if why == reason], reason)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
