"""Who may start: every limit on what runs at once, decided in one place.

A candidate claims amounts of named limits: slots of its pool, one of its run's ``max_active_tasks``, one slot of its
executor. It is admitted when all of them have room. One that is not admitted takes nothing, so a full pool holds
back nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class LimitKind(StrEnum):
    """What a limit counts."""

    POOL = "pool"  #: slots of a pool
    RUN_TASKS = "max_active_tasks"  #: tasks of one run
    EXECUTOR = "executor"  #: free slots of the supervisors of an executor


@dataclass(frozen=True, slots=True, order=True)
class LimitKey:
    """One limit: its kind and the name of what it limits."""

    kind: LimitKind
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A task instance whose dependencies are met.

    :param ident: its row id.
    :param claims: how much of which limit it needs.
    """

    ident: int
    claims: Mapping[LimitKey, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a candidate has to wait: the limit that is full."""

    ident: int
    limit: LimitKey
    used: int
    total: int

    @property
    def reason(self) -> str:
        return f"{self.limit.kind} {self.limit.name!r} is full: {self.used} of {self.total} in use"


@dataclass(slots=True)
class Admission:
    """The answer: ids admitted in order, and who has to wait for what."""

    admitted: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def admit(candidates: Iterable[Candidate], limits: Mapping[LimitKey, int], usage: Mapping[LimitKey, int]) -> Admission:
    """Admit candidates in the order given, as long as every limit that they claim has room.

    :param limits: how much of each limit there is; a limit that is not named here does not bind.
    :param usage: how much of each is in use, derived from live attempts.
    """
    used = dict(usage)
    answer = Admission()
    for candidate in candidates:
        full = _first_full(candidate, limits, used)
        if full is not None:
            answer.refused.append(Refusal(candidate.ident, full, used.get(full, 0), limits[full]))
            continue
        for key, amount in candidate.claims.items():
            used[key] = used.get(key, 0) + amount
        answer.admitted.append(candidate.ident)
    return answer


def _first_full(candidate: Candidate, limits: Mapping[LimitKey, int], used: Mapping[LimitKey, int]) -> LimitKey | None:
    for key, amount in candidate.claims.items():
        if key in limits and used.get(key, 0) + amount > limits[key]:
            return key
    return None
