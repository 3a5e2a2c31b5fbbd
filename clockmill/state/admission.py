"""Who may start: every limit on what runs at once, decided in one place.

A candidate claims amounts of named limits: slots of its pool, one of its run's ``max_active_tasks``, one slot of its
executor. It is admitted when all of them have room. One that is not admitted takes nothing, so a full pool holds
back nobody else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeVar

from clockmill.state.packing import Ask, Packing


class LimitKind(StrEnum):
    """What a limit counts."""

    POOL = "pool"  #: slots of a pool
    RUN_TASKS = "max_active_tasks"  #: tasks of one run
    DAG_TASK = "max_active_tis_per_dag"  #: instances of one task over all runs of its DAG
    RUN_TASK = "max_active_tis_per_dagrun"  #: instances of one task in one run
    EXECUTOR = "executor"  #: free slots of the supervisors of an executor
    QUEUE = "queue"  #: what may be offered to the workers of a queue
    RESOURCES = "resources"  #: what is free of what the supervisors of an executor offer

    __hash__ = str.__hash__  # that of enums is written in Python, and limits are looked up all the time


class LimitKey(NamedTuple):
    """One limit: its kind and the name of what it limits."""

    kind: LimitKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A task instance whose dependencies are met.

    :param ident: its row id.
    :param claims: how much of which limit it needs.
    :param caps: how much of a limit there is as this candidate sees it, where runs of several DAG versions differ.
    :param ask: what it asks for of one supervisor besides a slot; None for nothing.
    :param executor: whose supervisor it goes to.
    """

    ident: int
    claims: Mapping[LimitKey, int]
    caps: Mapping[LimitKey, int] = field(default_factory=dict)
    ask: Ask | None = None
    executor: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a candidate has to wait: the limit that is full."""

    ident: int
    limit: LimitKey
    used: int
    total: int

    @property
    def reason(self) -> str:
        if self.limit.kind is LimitKind.RESOURCES:
            return f"the executor {self.limit.name!r} has not enough resources free"
        return f"{self.limit.kind} {self.limit.name!r} is full: {self.used} of {self.total} in use"


@dataclass(slots=True)
class Admission:
    """The answer: ids admitted in order, who has to wait for what, and the supervisors that were chosen.

    :ivar places: the name of the supervisor by id, of those for which it was not left open.
    """

    admitted: list[int] = field(default_factory=list)
    places: dict[int, str] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)


class Waiting(Protocol):
    """A task instance that waits for its turn."""

    @property
    def lane(self) -> int:
        """0 of a live run, 1 of a backfill, which goes after."""
        ...

    @property
    def priority(self) -> int:
        """Its priority weight."""
        ...

    @property
    def dag_run_id(self) -> int:
        """The row id of its run, which ascends with its age."""
        ...


W = TypeVar("W", bound=Waiting)
#: Lane and priority: what is equally urgent takes turns.
Level = tuple[int, int]


def level_of(task: Waiting) -> Level:
    """How urgent a task instance is."""
    return task.lane, task.priority


def take_turns(waiting: Iterable[W], served: Mapping[Level, int]) -> list[W]:
    """The order in which task instances get what there is: the most urgent first, and runs in turn among these.

    In each turn every run has one, the oldest run first. A turn that was broken off goes on after the run that was
    served last, so it makes no difference how many are served at a time.

    :param waiting: those of one run in the order in which it wants them.
    :param served: the run that was served last, by level.
    """
    turns: Counter[tuple[Level, int]] = Counter()
    order = []
    for number, task in enumerate(waiting):
        level, run = level_of(task), task.dag_run_id
        before = run <= served.get(level, -1)
        order.append(((task.lane, -task.priority, turns[level, run], before, run, number), task))
        turns[level, run] += 1
    return [task for _, task in sorted(order, key=lambda pair: pair[0])]


def admit(
    candidates: Iterable[Candidate],
    limits: Mapping[LimitKey, int],
    usage: Mapping[LimitKey, int],
    packing: Packing | None = None,
) -> Admission:
    """Admit candidates in the order given, as long as every limit that they claim has room.

    :param limits: how much of each limit there is; a limit that is not named here does not bind.
    :param usage: how much of each is in use, derived from live attempts.
    :param packing: what supervisors have left of their resources; not needed while no candidate asks for any.
    """
    used = dict(usage)
    answer = Admission()
    for candidate in candidates:
        full = first_full(candidate, limits, used)
        if full is not None:
            total = candidate.caps.get(full, limits.get(full, 0))
            answer.refused.append(Refusal(candidate.ident, full, used.get(full, 0), total))
            continue
        if packing is not None and not _put(candidate, packing, answer):
            continue
        for key, amount in candidate.claims.items():
            used[key] = used.get(key, 0) + amount
        answer.admitted.append(candidate.ident)
    return answer


def _put(candidate: Candidate, packing: Packing, answer: Admission) -> bool:
    """Find a supervisor for it; False when its resources are nowhere free."""
    ask = candidate.ask
    place = packing.any_place(candidate.executor) if ask is None else packing.place_for(ask)
    if place is None:
        if ask is not None:
            answer.refused.append(Refusal(candidate.ident, LimitKey(LimitKind.RESOURCES, candidate.executor), 0, 0))
        return ask is None
    if ask is None:
        packing.put_plain(candidate.executor, place)
    else:
        packing.put(ask, place)
    answer.places[candidate.ident] = place
    return True


def first_full(candidate: Candidate, limits: Mapping[LimitKey, int], used: Mapping[LimitKey, int]) -> LimitKey | None:
    """The first limit that has no room for a candidate; None when it lacks nothing but perhaps resources."""
    for key, amount in candidate.claims.items():
        total = candidate.caps.get(key, limits.get(key))
        if total is not None and used.get(key, 0) + amount > total:
            return key
    return None
