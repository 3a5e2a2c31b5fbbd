"""The executor protocol: workloads go in, events come out.

An executor knows nothing of DAGs or tables. It starts ``runtime`` programs by their argument vector and reports what
became of each attempt until the scheduler says that the report is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from clockmill.protocols import AttemptReport, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorInfo:
    """A supervisor as an executor sees it.

    :param slots: how many attempts it runs at once.
    :param resources: what it offers besides: name -> amount, sizes in bytes. None when it does not say: then whatever
        its attempts ask for is its own affair.
    """

    id: str
    host: str
    boot_id: str
    pid: int
    slots: int
    resources: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The user's code of an attempt has begun; short attempts skip this and report their end at once."""

    attempt_id: str
    token: str
    started_at: str


@dataclass(frozen=True, slots=True)
class Finished:
    """An attempt is over and its processes are gone. Repeated until acknowledged."""

    report: AttemptReport


@dataclass(frozen=True, slots=True)
class SupervisorUp:
    """A supervisor was started or found again; ``holds`` are the attempts that it has, running or unacknowledged.

    :param tokens: the tokens of these, as far as known.
    """

    supervisor: SupervisorInfo
    holds: frozenset[str]
    tokens: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class SupervisorDown:
    """A supervisor is dead and its marked processes were swept: what it held is lost."""

    supervisor_id: str
    reason: str


ExecutorEvent = Started | Finished | SupervisorUp | SupervisorDown


class Executor(Protocol):
    """What the scheduler asks of an executor. No method blocks for longer than a socket write.

    The class is called with one :class:`~clockmill.executors.setup.ExecutorSetup`. It may have a static method
    ``check_config(config)``: while a DAG file is parsed, that is called with each ``executor_config`` that is not
    empty of a task that goes to this executor, and raises :class:`ValueError` with a sentence that says what is wrong.
    It runs in the process that parses, so its module should be light to import. With a class attribute
    ``switches_users = False`` it has tasks with ``run_as_user`` refused there as well; otherwise it acts on that.
    """

    name: str

    def start(self, epoch: int) -> None:
        """Begin, and take control of supervisors that are still alive from before.

        :param epoch: issued by the database; of two schedulers the one with the higher epoch controls.
        """
        ...

    def free_slots(self) -> dict[str, int]:
        """Free slots per supervisor id, of those that take new work."""
        ...

    def is_dead(self, supervisor_id: str) -> bool:
        """Whether a supervisor of this home is surely dead: its lock is free or gone. Asked at start."""
        ...

    def submit(self, supervisor_id: str, workloads: Sequence[Workload]) -> None:
        """Hand over attempts that are committed as claimed for that supervisor."""
        ...

    def stop_attempts(self, attempt_ids: Iterable[str], reason: str) -> None:
        """Ask for attempts to be ended: TERM, grace, KILL; each comes back as :class:`Finished` ``stopped``."""
        ...

    def events(self) -> list[ExecutorEvent]:
        """What happened since the last call, in order."""
        ...

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        """The reports of these attempts are committed and need not be repeated."""
        ...

    def filenos(self) -> list[int]:
        """Descriptors that become readable when :meth:`events` has something."""
        ...

    def look_again_in(self) -> float | None:
        """Seconds after which :meth:`events` should be asked though no descriptor is readable; None when never."""
        ...

    def drain(self) -> None:
        """Take no new work; what runs goes on."""
        ...

    def stop(self, grace: float) -> None:
        """Begin to end everything: what still runs after ``grace`` seconds is stopped and reported as ``released``.

        Returns at once; called again with a shorter grace, that one holds. Events go on until :meth:`is_busy` is false.
        """
        ...

    def is_busy(self) -> bool:
        """Whether a supervisor of this executor is still there after :meth:`stop`."""
        ...

    def detach(self) -> None:
        """Let go of the supervisors and leave them running, for the next scheduler to find."""
        ...


@runtime_checkable
class LeasedExecutor(Protocol):
    """What an executor may have besides: supervisors that end what they run when nobody hears of them for too long.

    Schedulers of other hosts may then take it for lost; otherwise what a host had when it went down stays with it.
    """

    def controlled(self) -> dict[str, frozenset[str]]:
        """The attempts of each supervisor that obeys this scheduler, by its id."""
        ...

    def grant(self, until: float, seconds: float, *, only: str | None = None) -> None:
        """Have a supervisor, or all, end everything before a moment, unless this is called again before it.

        :param until: when nothing may run any more, as :meth:`~clockmill.clock.Clock.since_boot` counts on this host.
        :param seconds: how long such a lease is.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a doorbell says of an attempt. Whoever claims it in the database with this token has it.

    :param queue: the workers of which queue may claim it.
    :param priority: higher is more urgent; brokers that have priorities may use it.
    """

    attempt_id: str
    token: str
    queue: str
    priority: int


class BrokeredExecutor:
    """The base of executors whose workers claim from the database what was offered to them.

    The offers are rows already when :meth:`offer` is called: a message only rings the doorbell, so losing, doubling,
    reordering or delaying it is harmless. Workers register, claim, beat and report by a
    :class:`~clockmill.protocols.workers.WorkerGateway`; the scheduler reads there what became of attempts, and asks
    this class for nothing but its doorbells.

    :ivar name: what this instance is called.
    """

    name: str

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_draining = False

    @property
    def takes_work(self) -> bool:
        """Whether attempts may be offered."""
        return not self._is_draining

    def offer(self, offers: Sequence[Offer]) -> None:
        """Ring for these attempts, without waiting for the broker. Never fails: what is lost is rung for again."""
        raise NotImplementedError

    def worker_command(self, queues: Sequence[str]) -> str:
        """What people type to start a worker for these queues; empty when that is not known."""
        return ""

    def start(self, epoch: int) -> None:
        """Begin to send."""
        self._is_draining = False

    def free_slots(self) -> dict[str, int]:
        """None: how much may be offered is known from the rows of the workers."""
        return {}

    def is_dead(self, supervisor_id: str) -> bool:
        """Never sure from here: a worker is given up when its beat stands still for a whole lease."""
        return False

    def submit(self, supervisor_id: str, workloads: Sequence[Workload]) -> None:
        """Nothing: workers claim."""

    def stop_attempts(self, attempt_ids: Iterable[str], reason: str) -> None:
        """Nothing: a worker is told of it with the answer to its next beat; override this to tell it sooner."""

    def events(self) -> list[ExecutorEvent]:
        """None: workers report to the database."""
        return []

    def acknowledge(self, attempt_ids: Iterable[str]) -> None:
        """Nothing: a report that is applied is deleted."""

    def filenos(self) -> list[int]:
        """None."""
        return []

    def look_again_in(self) -> float | None:
        """Never."""
        return None

    def drain(self) -> None:
        """Offer nothing more."""
        self._is_draining = True

    def stop(self, grace: float) -> None:
        """Offer nothing more; workers go on by themselves, whatever becomes of this scheduler."""
        self._is_draining = True

    def is_busy(self) -> bool:
        """Whether messages are still to be sent."""
        return False

    def detach(self) -> None:
        """Let go of the broker."""
