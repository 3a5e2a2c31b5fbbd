"""A bench that an executor is tried on: attempts for it to run, and somebody who does what a scheduler would.

Nothing here sleeps or looks again and again. Whoever waits polls the descriptors of the executor and a named pipe that
the attempts write into, until what they wait for is there.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from clockmill.clock import SystemClock
from clockmill.executors.base import Executor, ExecutorEvent, Finished, Started, SupervisorDown, SupervisorUp
from clockmill.executors.setup import ExecutorSetup
from clockmill.host.processes import ATTEMPT_MARK, SUPERVISOR_MARK, marked
from clockmill.ids import new_attempt_id, new_token
from clockmill.protocols import AttemptReport, Workload
from clockmill.testing.gateway import FACTORY

T = TypeVar("T")
MakeExecutor = Callable[[ExecutorSetup], Executor]

#: How long is waited for anything, in seconds; what works is there much sooner.
PATIENCE = 60.0

#: The functions are the tasks. Each tells the bench what it does by a line in the pipe ``ledger``.
_DAG_FILE = '''
import os, signal, subprocess, sys
from clockmill import DAG
from clockmill.model.context import get_current_context
from clockmill.operators.python import PythonOperator

HOME = {home!r}


def say(*words):
    ledger = os.open(HOME + "/ledger", os.O_WRONLY)
    os.write(ledger, " ".join([os.environ["ATTEMPT_ID"], *map(str, words)]).encode() + b"\\n")
    os.close(ledger)


def work():
    print("hello, world")
    say("ran", os.environ["IDEMPOTENCY_KEY"])
    return 42


def gate():
    """Waits until the bench opens its gate."""
    say("begin")
    reader = os.open(HOME + "/gates/" + os.environ["ATTEMPT_ID"], os.O_RDONLY)
    os.read(reader, 1)
    say("end")


def fail():
    raise ValueError("this is what went wrong")


def chatter():
    for number in range(5000):
        print("line", number, flush=number % 100 == 0)
    print("last words", file=sys.stderr)


def stubborn():
    """Ignores TERM, and so does a child in a session of its own."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    say("begin", child.pid)
    while True:
        signal.pause()


def linger():
    """Leaves a process behind that has nothing of its environment."""
    say("begin", subprocess.Popen(["env", "-i", "sleep", "1000"], start_new_session=True).pid)


def crash():
    os.kill(os.getpid(), signal.SIGKILL)


def wait():
    say("begin")
    while True:
        signal.pause()


def ask():
    say("told", get_current_context()["var"].value.get("x"))


with DAG("conformance", schedule=None):
    for function in (work, gate, fail, chatter, stubborn, linger, crash, wait, ask):
        PythonOperator(task_id=function.__name__, python_callable=function)
'''


class ExecutorBench:
    """One home, its attempts, and the executors that run them.

    :param home: an empty folder.
    :param make: makes an executor from its setup.
    :param options: what the configuration says of the executor.
    :param executor_config: what every task says to it.
    """

    def __init__(
        self, home: Path, make: MakeExecutor, options: Mapping[str, Any], executor_config: Mapping[str, Any]
    ) -> None:
        self.home = home
        self._make = make
        self._options = options
        self._executor_config = dict(executor_config)
        self._epoch = 0
        self._drivers: list[Driver] = []
        self._gates: dict[str, int] = {}
        self._tail = b""
        self._descriptors = _open_descriptors()
        self.ledger: list[list[str]] = []
        for folder in ("bundle", "gates", "live"):
            (home / folder).mkdir()
        (home / "bundle" / "conformance.py").write_text(_DAG_FILE.format(home=str(home)))
        os.mkfifo(home / "ledger")
        self.ledger_pipe = os.open(home / "ledger", os.O_RDWR | os.O_NONBLOCK)

    def start(self, *, name: str = "tested", slots: int = 2, orphan_grace: float = 300.0) -> Driver:
        """A new executor, started as by a new scheduler; nothing is waited for."""
        setup = ExecutorSetup(
            name=name,
            home=self.home,
            run_folder=self.home / "run" / "executors" / name,
            slots=slots,
            gateway=FACTORY,
            gateway_spec={"folder": str(self.home / "live")},
            orphan_grace=orphan_grace,
            clock=SystemClock(),
            options=dict(self._options),
        )
        self._epoch += 1
        driver = Driver(self, self._make(setup))
        driver.executor.start(self._epoch)
        self._drivers.append(driver)
        return driver

    def workload(self, task_id: str, **fields: Any) -> Workload:
        """A new attempt of a task of the DAG file; see its source above."""
        workload = Workload(
            **{
                "attempt_id": new_attempt_id(),
                "token": new_token(),
                "dag_id": "conformance",
                "run_id": "run",
                "task_id": task_id,
                "bundle": "bundle-1",
                "bundle_path": str(self.home / "bundle"),
                "file": "conformance.py",
                "log_path": str(self.home / "logs" / task_id / f"{len(self._gates)}.log"),
                "executor_config": self._executor_config,
            }
            | fields
        )
        (self.home / "live" / workload.attempt_id).write_text(workload.token)
        gate = self.home / "gates" / workload.attempt_id
        os.mkfifo(gate)
        self._gates[workload.attempt_id] = os.open(gate, os.O_RDWR)
        return workload

    def open_gate(self, workload: Workload) -> None:
        """Let a task ``gate`` end, now or as soon as it comes there."""
        os.write(self._gates[workload.attempt_id], b".")

    def disown(self, workload: Workload) -> None:
        """Give the attempt to somebody else: the token that it has is no longer good."""
        (self.home / "live" / workload.attempt_id).write_text(new_token())

    def read_ledger(self) -> None:
        """Take in what the tasks have said."""
        try:
            while data := os.read(self.ledger_pipe, 1 << 16):
                *lines, self._tail = (self._tail + data).split(b"\n")
                self.ledger += [line.decode().split() for line in lines]
        except BlockingIOError:
            pass

    def said(self, workload: Workload, word: str) -> list[list[str]]:
        """What an attempt has said so far that begins with a word, without that."""
        return [words[2:] for words in self.ledger if words[:2] == [workload.attempt_id, word]]

    def most_at_once(self) -> int:
        """How many tasks ``gate`` were at work at the same time, at most."""
        most = count = 0
        for _, word, *_ in self.ledger:
            count += (word == "begin") - (word == "end")
            most = max(most, count)
        return most

    def log(self, workload: Workload) -> str:
        """The log of the attempt."""
        return Path(workload.log_path).read_text()

    def close(self) -> None:
        """End everything, then see that nothing is left: no process, no descriptor.

        :raises AssertionError: when something is.
        """
        newest = {driver.executor.name: driver for driver in self._drivers}
        for name, driver in newest.items():
            last = self.start(name=name) if driver.is_detached else driver
            last.end()
        for each in self._drivers:
            each.detach()
        os.close(self.ledger_pipe)
        for gate in self._gates.values():
            os.close(gate)
        left = {ident: marked(ATTEMPT_MARK, ident) for ident in self._gates}
        supervisors = {ident for driver in self._drivers for ident in driver.supervisor_ids}
        left |= {ident: marked(SUPERVISOR_MARK, ident) for ident in supervisors}
        assert not any(left.values()), f"processes were left behind: {left}"
        assert _open_descriptors() <= self._descriptors, "descriptors were left open"


class Driver:
    """Does with one executor what a scheduler does, and writes down what it hears.

    :param executor: started.
    """

    def __init__(self, bench: ExecutorBench, executor: Executor) -> None:
        self.executor = executor
        self.events: list[ExecutorEvent] = []
        self.is_detached = False
        self._bench = bench
        self._clock = SystemClock()

    def wait(self, find: Callable[[], T | None], what: str) -> T:
        """Go on until ``find`` finds something, and return that.

        The executor is asked when it said that there is something to hear, and only then.

        :param what: what is waited for, in words.
        :raises AssertionError: when it does not come.
        """
        deadline = self._clock.monotonic() + PATIENCE
        left = PATIENCE
        while left > 0:
            self.events += self.executor.events()
            self._bench.read_ledger()
            if (found := find()) is not None:
                return found
            left = deadline - self._clock.monotonic()
            look = self.executor.look_again_in()
            if self._poll(left if look is None else min(left, look)) == 0 and look is None:
                break  # what comes without a word is not found by looking once more
        raise AssertionError(f"waited {PATIENCE:g} s in vain for {what}; heard {self.events}")

    def is_quiet(self) -> bool:
        """Whether the executor would let the scheduler sleep now."""
        self.events += self.executor.events()
        self._bench.read_ledger()
        return self._poll(0.05) == 0 and self.executor.look_again_in() != 0

    def _poll(self, seconds: float) -> int:
        poller = select.poll()
        for descriptor in (*self.executor.filenos(), self._bench.ledger_pipe):
            poller.register(descriptor, select.POLLIN)
        return len(poller.poll(max(0.0, seconds) * 1000 + 1))

    # --- what a scheduler does ------------------------------------------------------------------------------------

    def submit(self, *workloads: Workload) -> str:
        """Hand over attempts to a supervisor with a free slot, which is waited for; returns its id."""
        supervisor_id = self.wait(lambda: next(iter(self.executor.free_slots()), None), "a free slot")
        self.executor.submit(supervisor_id, workloads)
        return supervisor_id

    def run(self, workload: Workload) -> AttemptReport:
        """Submit an attempt, wait for its report and acknowledge it."""
        self.submit(workload)
        report = self.finished(workload)
        self.executor.acknowledge([workload.attempt_id])
        return report

    def stop_at_once(self, *workloads: Workload, reason: str = "stopped by a test") -> None:
        """Have attempts ended."""
        self.executor.stop_attempts([workload.attempt_id for workload in workloads], reason)

    def detach(self) -> None:
        """Let go of the executor as a scheduler that leaves; doing it twice is harmless."""
        if not self.is_detached:
            self.is_detached = True
            self.executor.detach()
            assert self.executor.filenos() == [], "an executor that let go of everything has nothing to hear from"

    def end(self) -> None:
        """End the executor and all that it holds."""
        self.acknowledge_all()
        self.executor.stop(0)
        self.executor.stop(0)

        def is_over() -> bool | None:
            self.acknowledge_all()
            return None if self.executor.is_busy() else True

        self.wait(is_over, "the end of the supervisors")

    def acknowledge_all(self) -> None:
        """Say that every report so far is committed."""
        self.executor.acknowledge([report.attempt_id for report in self.reports()])

    # --- what it hears --------------------------------------------------------------------------------------------

    @property
    def supervisor_ids(self) -> list[str]:
        """The supervisors that it has heard of."""
        return [event.supervisor.id for event in self.events if isinstance(event, SupervisorUp)]

    def reports(self) -> list[AttemptReport]:
        """The reports so far, with their repetitions."""
        return [event.report for event in self.events if isinstance(event, Finished)]

    def up(self, *known: str) -> SupervisorUp:
        """Wait for a supervisor, other than those of these ids."""
        return self.wait(
            lambda: _first(e for e in self.events if isinstance(e, SupervisorUp) and e.supervisor.id not in known),
            "a supervisor",
        )

    def down(self, supervisor_id: str) -> SupervisorDown:
        """Wait for the end of a supervisor."""
        return self.wait(
            lambda: _first(
                e for e in self.events if isinstance(e, SupervisorDown) and e.supervisor_id == supervisor_id
            ),
            "the end of a supervisor",
        )

    def started(self, workload: Workload) -> Started:
        """Wait for the beginning of an attempt."""
        return self.wait(
            lambda: _first(e for e in self.events if isinstance(e, Started) and e.attempt_id == workload.attempt_id),
            f"the start of {workload.task_id}",
        )

    def finished(self, workload: Workload) -> AttemptReport:
        """Wait for the report of an attempt."""
        return self.wait(
            lambda: _first(r for r in self.reports() if r.attempt_id == workload.attempt_id),
            f"the report of {workload.task_id}",
        )

    def said(self, workload: Workload, word: str) -> list[str]:
        """Wait for what an attempt says that begins with a word, and return the rest of it."""
        return self.wait(lambda: _first(self._bench.said(workload, word)), f"{word!r} of {workload.task_id}")


def kill(pid: int) -> None:
    """Kill a process."""
    os.kill(pid, signal.SIGKILL)


@contextmanager
def ended(pid: int) -> Iterator[None]:
    """Do something, and wait for a process to end because of it.

    :raises AssertionError: when it does not.
    """
    handle = os.pidfd_open(pid)
    try:
        yield
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        assert poller.poll(PATIENCE * 1000), f"the process {pid} did not end within {PATIENCE:g} s"
    finally:
        os.close(handle)


def await_end(pid: int) -> None:
    """Wait for the end of a process that was told to end, or is gone already.

    :raises AssertionError: when it does not end.
    """
    with suppress(ProcessLookupError), ended(pid):
        pass


def is_running(pid: int) -> bool:
    """Whether a process is there and no mere entry that nobody has read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _first(found: Iterable[T]) -> T | None:
    return next(iter(found), None)


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
