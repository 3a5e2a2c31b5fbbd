"""Supervisors, zygotes and schedulers that die or come back: nothing is lost, nothing is left, nothing runs twice."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

import pytest

from clockmill.executors.base import Started, SupervisorUp
from clockmill.executors.local import LocalExecutor
from clockmill.host.processes import ATTEMPT_MARK, SUPERVISOR_MARK, children_of, marked
from clockmill.testing.bench import PATIENCE, ended
from clockmill.testing.clock import FakeClock

pytestmark = pytest.mark.fault

forked_or_fresh = pytest.mark.parametrize("kind", ["local", "subprocess"])

WAIT = "import signal\ndef wait():\n    print('waiting', flush=True)\n    signal.pause()\n"
#: Ends as soon as somebody opens the named pipe beside it for writing.
GATE = "def gate(): open('gate').read()\n"


#: A supervisor for which an hour passes, as in a machine that is suspended, once there is a file of that name.
SUSPENDED = """
import os
from clockmill.clock import SystemClock
from clockmill.runtime.supervisor.__main__ import main
real = SystemClock.since_boot
SystemClock.since_boot = lambda self: real(self) + 3600 * os.path.exists("suspended")
main()
"""


def is_start(event) -> bool:
    return isinstance(event, Started)


def started(bench, executor, task_id="wait", **options):
    """Submit an attempt and wait until its user code runs."""
    workload = bench.workload(task_id, **options)
    if not executor.free_slots():
        bench.up(executor)
    executor.submit(next(iter(executor.free_slots())), [workload])
    bench.wait(executor, is_start)
    return workload


def open_gate(bench):
    """Let the task behind the gate end."""
    with (bench.home / "gate").open("w"):
        pass


@forked_or_fresh
def test_a_dead_supervisor_is_swept_up_after_and_replaced(bench):
    bench.dag_file(WAIT)
    executor = bench.executor()
    first = bench.up(executor).supervisor
    workload = started(bench, executor)
    os.kill(first.pid, signal.SIGKILL)
    down = bench.down(executor)
    assert down.supervisor_id == first.id
    assert marked(ATTEMPT_MARK, workload.attempt_id) == []
    assert marked(SUPERVISOR_MARK, first.id) == []
    second = bench.up(executor).supervisor
    assert second.id != first.id
    assert list(executor.free_slots()) == [second.id]
    assert not list((bench.home / "run" / "supervisors").glob(f"{first.id}.*"))


@forked_or_fresh
@pytest.mark.parametrize("dies", ["the supervisor", "with its fork server"])
def test_daemons_of_a_dead_supervisor_are_swept_too(bench, dies):
    bench.dag_file(
        "import subprocess, signal\ndef wait():\n"
        "    subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        "    one = subprocess.Popen(['sleep', '1000'], env={})\n"
        "    two = subprocess.Popen(['sleep', '1000'], env={}, start_new_session=True)\n"
        "    open('unmarked', 'w').write(f'{one.pid} {two.pid}')\n    signal.pause()"
    )
    os.mkfifo(bench.home / "unmarked")
    executor = bench.executor()
    supervisor = bench.up(executor).supervisor
    workload = started(bench, executor)
    unmarked = [int(pid) for pid in (bench.home / "unmarked").read_text().split()]
    assert len(marked(ATTEMPT_MARK, workload.attempt_id)) == 3
    handles = [os.pidfd_open(pid) for pid in unmarked]
    if dies == "with its fork server":
        # Halted first, none of them can do anything about the death of the other.
        both = [*children_of(supervisor.pid), supervisor.pid]
        for pid in both:
            os.kill(pid, signal.SIGSTOP)
        for pid in both:
            os.kill(pid, signal.SIGKILL)
    else:
        os.kill(supervisor.pid, signal.SIGKILL)
    bench.down(executor)
    assert marked(ATTEMPT_MARK, workload.attempt_id) == []
    assert select.select(handles, [], [], 0)[0] == handles  # all of them have ended
    for handle in handles:
        os.close(handle)


def test_a_lease_goes_on_while_the_machine_is_suspended_and_a_limit_of_time_does_not(bench, monkeypatch):
    monkeypatch.setattr(LocalExecutor, "supervisor_command", lambda self: [sys.executable, "-P", "-c", SUSPENDED])
    bench.dag_file(WAIT)
    executor = bench.executor()
    workload = started(bench, executor, execution_timeout=1800.0)
    executor.grant(bench.clock.since_boot() + 1800.0, 1800.0)
    (bench.home / "suspended").touch()
    report = bench.finished(executor, workload)
    assert (report.outcome, report.reason) == ("released", "Its worker could not say in time that it was still there.")


def greeted(bench, executor, clock, seconds=5.0):
    """What a scheduler hears as it greets its supervisors, so many seconds after it has done that last."""
    clock.advance(seconds)
    events = executor.events()
    bench.queues[id(executor)].extend(events)
    return events


def hear(executor):
    """Wait until a supervisor says something."""
    assert select.select(executor.filenos(), [], [], PATIENCE)[0]


def test_a_supervisor_that_hangs_for_a_minute_is_killed_with_its_tasks_and_replaced(bench):
    bench.dag_file(WAIT)
    clock = FakeClock()
    executor = bench.executor(clock=clock)
    first = bench.up(executor).supervisor
    workload = started(bench, executor)

    for seconds in [5.0] * 13 + [86_400.0]:  # one that answers is left alone; one halted with us was never greeted
        assert greeted(bench, executor, clock, seconds) == []
        hear(executor)
    assert executor.events() == []

    for pid in (*children_of(first.pid), first.pid):
        os.kill(pid, signal.SIGSTOP)
    for free in [{first.id: 3}] * 2 + [{}] * 10:
        assert greeted(bench, executor, clock) == []
        assert executor.free_slots() == free
    with ended(first.pid):
        greeted(bench, executor, clock)
    down = bench.down(executor)
    assert (down.supervisor_id, down.reason) == (first.id, "It said nothing for 60 s and was killed.")
    assert marked(ATTEMPT_MARK, workload.attempt_id) == marked(SUPERVISOR_MARK, first.id) == []
    assert bench.up(executor).supervisor.id != first.id


def test_a_supervisor_that_hangs_keeps_no_scheduler_from_leaving(bench):
    clock = FakeClock()
    executor = bench.executor(clock=clock)
    first = bench.up(executor).supervisor
    os.kill(first.pid, signal.SIGSTOP)
    executor.stop(0.0)
    with ended(first.pid):
        for _ in range(13):
            greeted(bench, executor, clock)
    assert bench.down(executor).supervisor_id == first.id
    assert not executor.is_busy()


@forked_or_fresh
def test_attempts_of_a_dead_zygote_or_launcher_are_lost_and_the_next_ones_run(bench, kind):
    bench.dag_file(WAIT + "def hello(): pass")
    executor = bench.executor()
    supervisor = bench.up(executor).supervisor
    workload = started(bench, executor)
    [zygote] = children_of(supervisor.pid)
    os.kill(zygote, signal.SIGKILL)
    report = bench.finished(executor, workload)
    starter = {"local": "zygote", "subprocess": "launcher"}[kind]
    assert (report.outcome, report.reason) == ("lost", f"The {starter} that ran it died.")
    assert marked(ATTEMPT_MARK, workload.attempt_id) == []
    assert bench.run(executor, "hello").outcome == "success"


@forked_or_fresh
def test_daemons_of_a_dead_zygote_are_gone_before_the_loss_is_reported(bench):
    bench.dag_file(
        "import subprocess, signal\ndef wait():\n"
        "    sleeper = subprocess.Popen(['env', '-i', 'sleep', '1000'], start_new_session=True)\n"
        "    open('sleeper', 'w').write(str(sleeper.pid))\n    signal.pause()"
    )
    os.mkfifo(bench.home / "sleeper")
    executor = bench.executor()
    supervisor = bench.up(executor).supervisor
    workload = started(bench, executor)
    pid = int((bench.home / "sleeper").read_text())
    [zygote] = children_of(supervisor.pid)
    os.kill(zygote, signal.SIGKILL)
    assert bench.finished(executor, workload).outcome == "lost"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@forked_or_fresh
def test_a_new_scheduler_adopts_what_runs(bench):
    bench.dag_file(GATE)
    os.mkfifo(bench.home / "gate")
    first = bench.executor()
    supervisor = bench.up(first).supervisor
    workload = started(bench, first, "gate")
    first.detach()
    second = bench.executor()
    up = bench.up(second)
    assert up.supervisor == supervisor
    assert up.holds == {workload.attempt_id}
    assert second.free_slots() == {supervisor.id: 3}
    open_gate(bench)
    assert bench.finished(second, workload).outcome == "success"
    assert bench.log("gate").count("ended success") == 1


def test_a_report_is_repeated_to_the_next_scheduler_until_it_is_acknowledged(bench):
    bench.dag_file("def hello(): pass")
    first = bench.executor()
    bench.up(first)
    workload = bench.workload("hello")
    first.submit(next(iter(first.free_slots())), [workload])
    report = bench.finished(first, workload)
    first.detach()
    second = bench.executor()
    assert bench.up(second).holds == {workload.attempt_id}
    assert bench.finished(second, workload) == report
    second.acknowledge([workload.attempt_id])
    second.detach()
    third = bench.executor()
    assert bench.up(third).holds == frozenset()


def test_a_log_that_cannot_be_written_stops_no_task_and_whoever_started_it_is_told(bench, caplog):
    bench.dag_file("def talk(): print('hello')\n")
    executor = bench.executor()
    bench.up(executor)
    workload = bench.workload("talk")
    Path(workload.log_path).mkdir(parents=True)
    executor.submit(next(iter(executor.free_slots())), [workload])
    assert bench.finished(executor, workload).outcome == "success"
    told = f"the log of a task cannot be written: {workload.log_path}: Is a directory"
    assert {each.getMessage() for each in caplog.records if each.levelname == "WARNING"} == {told}


@forked_or_fresh
def test_an_attempt_that_is_submitted_twice_runs_once(bench):
    bench.dag_file("def hello(): print('ran')")
    executor = bench.executor()
    bench.up(executor)
    workload = bench.workload("hello")
    [supervisor_id] = executor.free_slots()
    executor.submit(supervisor_id, [workload, workload])
    executor.submit(supervisor_id, [workload])
    bench.finished(executor, workload)
    executor.submit(supervisor_id, [workload])
    bench.run(executor, "hello", log_path=str(bench.home / "other.log"))
    assert bench.log("hello").count("ran") == 1


def test_a_second_scheduler_of_a_host_gets_a_supervisor_of_its_own(bench):
    bench.dag_file("def hello(): pass")
    first = bench.executor()
    second = bench.executor()
    assert bench.up(first).supervisor.id != bench.up(second).supervisor.id
    assert bench.run(first, "hello").outcome == "success"
    assert bench.run(second, "hello").outcome == "success"


def test_a_supervisor_whose_scheduler_died_is_adopted_by_another_one(bench):
    bench.dag_file(WAIT)
    clock = FakeClock()
    first = bench.executor()
    second = bench.executor(clock=clock)
    orphan = bench.up(first).supervisor.id
    bench.up(second)
    workload = started(bench, first)
    first.detach()
    clock.advance(5)
    up = bench.up(second)
    assert (up.supervisor.id, up.holds) == (orphan, {workload.attempt_id})


@forked_or_fresh
def test_a_supervisor_without_a_scheduler_ends_after_its_grace_and_leaves_its_reports(bench):
    bench.dag_file(WAIT)
    first = bench.executor(orphan_grace=0.3)
    pid = bench.up(first).supervisor.pid
    workload = started(bench, first)
    with ended(pid):
        first.detach()
    second = bench.executor()
    report = bench.finished(second, workload)
    assert report.outcome == "released"
    assert bench.down(second).reason == "It was found dead."
    second.detach()
    third = bench.executor()
    assert bench.finished(third, workload) == report
    third.acknowledge([workload.attempt_id])
    assert not list((bench.home / "run" / "supervisors").glob("*.results"))


@forked_or_fresh
def test_stop_waits_for_its_grace_and_gives_back_what_still_runs(bench):
    bench.dag_file(WAIT)
    executor = bench.executor()
    supervisor = bench.up(executor).supervisor
    workload = started(bench, executor)
    waiting = [bench.workload("wait") for _ in range(5)]
    executor.submit(supervisor.id, waiting)
    executor.stop(0.2)
    assert executor.free_slots() == {}
    for held in [workload, *waiting]:
        assert bench.finished_before(executor, held).outcome == "released"
        executor.acknowledge([held.attempt_id])
    down = bench.down(executor)
    assert down.reason == "It was stopped."
    assert executor.filenos() == []
    assert marked(SUPERVISOR_MARK, supervisor.id) == []


def test_a_task_that_ends_within_the_grace_of_stop_keeps_its_success(bench):
    bench.dag_file(GATE)
    os.mkfifo(bench.home / "gate")
    executor = bench.executor()
    workload = started(bench, executor, "gate")
    executor.stop(30.0)
    open_gate(bench)
    assert bench.finished(executor, workload).outcome == "success"
    executor.acknowledge([workload.attempt_id])
    bench.down(executor)


@forked_or_fresh
def test_a_second_stop_cuts_the_grace_short(bench):
    bench.dag_file(
        "import signal\ndef wait():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    while True: signal.pause()"
    )
    executor = bench.executor()
    workload = started(bench, executor, kill_grace=60.0)
    executor.stop(60.0)
    executor.stop(0.0)
    assert bench.finished(executor, workload).outcome == "released"


def test_what_does_not_fit_into_the_slots_waits(bench):
    bench.dag_file("def hello(): pass")
    executor = bench.executor(slots=1)
    supervisor = bench.up(executor).supervisor
    workloads = [bench.workload("hello") for _ in range(10)]
    executor.submit(supervisor.id, workloads)
    assert executor.free_slots() == {}
    for workload in workloads:
        assert bench.finished_before(executor, workload).outcome == "success"


def test_a_supervisor_that_cannot_start_is_reported_with_its_reason(bench):
    executor = bench.executor(home=str(bench.home / "nowhere"))
    down = bench.down(executor)
    assert "nowhere" in down.reason


def test_a_scheduler_in_a_very_deep_folder_reaches_its_supervisor(bench):
    executor = bench.executor(run_folder=bench.home / ("d" * 100) / ("e" * 100))
    assert isinstance(bench.up(executor), SupervisorUp)
    executor.stop(0.0)
    bench.down(executor)
