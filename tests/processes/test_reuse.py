"""Several tasks in one process: what is carried over, what is not, and which tasks end their process."""

from __future__ import annotations

import math
import os
import signal
import socket

import psutil
import pytest

from clockmill.host.processes import ATTEMPT_MARK, marked
from clockmill.logs.writer import LogWriter
from clockmill.runtime.supervisor.attempt import Attempt
from clockmill.runtime.supervisor.loop import READ, Loop, Outbox
from clockmill.runtime.supervisor.warm import IDLE_SECONDS, WarmPool
from clockmill.testing import FakeClock
from clockmill.testing.bench import ended

WHO = """
import os
def who(): print('pid', os.getpid())
"""


@pytest.fixture
def kind() -> str:
    return "reuse"


def pids_of(bench, executor, times: int, task_id: str = "who", **options) -> list[str]:
    """The processes that ran so many attempts, one after the other."""
    for _ in range(times):
        assert bench.run(executor, task_id, **options).outcome == "success"
    return [line.removeprefix("pid ") for line in bench.said(task_id) if line.startswith("pid ")][-times:]


def test_a_process_serves_as_many_tasks_as_it_may_and_no_more(bench):
    bench.dag_file(WHO)
    first, second, third, fourth = pids_of(bench, bench.executor(max_tasks_per_process=3), 4)
    assert first == second == third != fourth


def test_by_default_each_task_has_a_process_of_its_own(bench):
    bench.dag_file(WHO)
    assert len(set(pids_of(bench, bench.executor(max_tasks_per_process=1), 3))) == 3


def test_modules_keep_their_variables_from_task_to_task(bench):
    bench.dag_file("import os\nseen = []\ndef who(): print('pid', os.getpid(), len(seen)); seen.append(1)")
    assert [told.split()[1] for told in pids_of(bench, bench.executor(), 3)] == ["0", "1", "2"]


def test_another_bundle_file_or_user_gets_another_process(bench):
    bench.dag_file(WHO)
    (bench.bundle / "other.py").write_text((bench.bundle / "work.py").read_text())
    executor = bench.executor()
    [first] = pids_of(bench, executor, 1)
    others = [
        pids_of(bench, executor, 1, **options)[0]
        for options in ({"bundle": "b2"}, {"file": "other.py"}, {"run_as_user": "somebody"})
    ]
    assert len({first, *others}) == 4
    assert pids_of(bench, executor, 1) == [first]


def test_a_place_that_another_file_needs_is_given_up(bench):
    bench.dag_file(WHO)
    executor = bench.executor(slots=1)
    [first] = pids_of(bench, executor, 1)
    pids_of(bench, executor, 1, bundle="b2")
    assert pids_of(bench, executor, 1) != [first]


def tasks(bodies: dict[str, str]) -> str:
    """A task for each of these bodies, under its name, which tells its process first."""
    return "".join(f"def {name}():\n    print('pid', os.getpid())\n    {body}\n" for name, body in bodies.items())


# --- what each attempt has of its own ---------------------------------------------------------------------------------


def test_each_attempt_has_its_own_mark_key_and_log(bench):
    bench.dag_file(
        "import os\n"
        "def look():\n"
        "    shown = open('/proc/self/environ').read().split(chr(0))\n"
        "    print('pid', os.getpid())\n"
        "    print('same', f\"ATTEMPT_ID={os.environ['ATTEMPT_ID']}\" in shown)\n"
        "    print('attempt', os.environ['ATTEMPT_ID'], os.environ['IDEMPOTENCY_KEY'])"
    )
    executor = bench.executor()
    reports = [bench.run(executor, "look", run_id=f"run{number}") for number in range(3)]
    said = bench.said("look")
    assert [line for line in said if line.startswith("attempt")] == [
        f"attempt {report.attempt_id} work/run{number}/look/-1" for number, report in enumerate(reports)
    ]
    assert said.count("same True") == 3
    assert len({line for line in said if line.startswith("pid")}) == 1


def test_a_process_that_waits_carries_the_mark_of_no_attempt(bench):
    bench.dag_file(WHO)
    executor = bench.executor()
    report = bench.run(executor, "who")
    assert marked(ATTEMPT_MARK, report.attempt_id) == []
    assert len(set(pids_of(bench, executor, 2))) == 1


def test_peak_memory_and_processor_time_are_those_of_the_attempt_alone(bench):
    bench.dag_file(
        WHO + "def large(): print('pid', os.getpid()); b'x' * 60_000_000\n"
        "def busy():\n"
        "    import time\n"
        "    while time.process_time() < 0.6: pass\n"
        "    print('pid', os.getpid())\n"
    )
    executor = bench.executor()
    reports = [bench.run(executor, task_id) for task_id in ("who", "busy", "large", "who")]
    assert len({line for task_id in ("who", "busy", "large") for line in bench.said(task_id)}) == 1
    small, busy, large, after = reports
    assert large.peak_memory_kb > small.peak_memory_kb + 50_000 > after.peak_memory_kb
    assert busy.cpu_seconds > 0.3 > after.cpu_seconds


def test_a_task_that_ran_commands_keeps_its_process_and_one_whose_command_was_larger_than_it_does_not(bench):
    bench.dag_file(
        WHO + "import subprocess, sys\n"
        "def run(): print('pid', os.getpid(), flush=True); subprocess.run(['true'])\n"
        "def large(): print('pid', os.getpid()); subprocess.run([sys.executable, '-c', 'b\"x\" * 90_000_000'])\n"
    )
    executor = bench.executor()
    assert len(set(pids_of(bench, executor, 3, "run"))) == 1
    assert bench.run(executor, "large").peak_memory_kb > 85_000
    assert "Its process serves no other task: its child processes were larger than it." in bench.log("large")


def test_random_numbers_differ_between_tasks_that_seed_alike(bench):
    bench.dag_file("import os, random\ndef draw():\n    print('drawn', random.random())\n    random.seed(1)")
    executor = bench.executor()
    for _ in range(3):
        bench.run(executor, "draw")
    assert len(set(bench.said("draw"))) == 3


def test_what_a_file_sets_while_it_is_imported_holds_for_every_task(bench):
    bench.dag_file(
        "import decimal, os\n"
        "os.environ['PLACE'] = 'Delft'\n"
        "decimal.getcontext().prec = 50\n"
        "def who():\n"
        "    print('pid', os.getpid(), os.environ['PLACE'], decimal.getcontext().prec)\n"
        "    os.environ['PLACE'] = 'Utrecht'\n"
        "    decimal.getcontext().prec = 3\n"
    )
    told = pids_of(bench, bench.executor(), 3)
    assert len(set(told)) == 1
    assert told[0].endswith("Delft 50")


def test_a_thread_of_a_library_that_the_import_began_is_no_trace_of_a_task(bench):
    bench.dag_file("import faulthandler\nfaulthandler.dump_traceback_later(1000, file=open('/dev/null'))\n" + WHO)
    assert len(set(pids_of(bench, bench.executor(), 2))) == 1


MENDED = {
    "working_folder": "os.chdir('/')",
    "environment": "os.environ['LEFT'] = 'x'; del os.environ['HOME']",
    "umask": "os.umask(0o777)",
    "handler": "signal.signal(signal.SIGUSR1, print); signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "alarm": "signal.alarm(1000)",
    "path": "sys.path.insert(0, '/nowhere')",
    "logger": "logging.getLogger('x').addHandler(logging.StreamHandler(sys.stdout)); logging.disable()",
    "root_logger": "logging.basicConfig(force=True, level='ERROR')",
    "warning_filters": "warnings.simplefilter('error')",
    "recursion": "sys.setrecursionlimit(5000)",
    "collector": "gc.disable()",
    "sockets": "socket.setdefaulttimeout(1)",
}
LOOK = """
import gc, logging, os, signal, socket, sys, warnings
def state():
    mask = os.umask(0)
    os.umask(mask)
    return [
        os.getcwd(), sorted(set(os.environ) - {'ATTEMPT_ID'}), mask, signal.getsignal(10), signal.getsignal(2),
        signal.getitimer(signal.ITIMER_REAL), sys.path, logging.root.manager.disable, logging.root.level,
        len(logging.root.handlers), logging.getLogger('x').handlers, warnings.filters, sys.getrecursionlimit(),
        gc.isenabled(), socket.getdefaulttimeout(),
    ]
def who(): print('pid', os.getpid(), state())
"""


def test_what_a_task_changed_is_put_back_for_the_next_one(bench):
    bench.dag_file(LOOK + tasks(MENDED))
    executor = bench.executor()
    before = pids_of(bench, executor, 1)
    for change in MENDED:
        assert bench.run(executor, change).outcome == "success", change
        assert pids_of(bench, executor, 1) == before, change


def test_a_warning_is_in_the_log_of_each_task_that_deserves_it(bench):
    bench.dag_file("import warnings\ndef warn(): warnings.warn('old', UserWarning)")
    executor = bench.executor()
    for _ in range(2):
        bench.run(executor, "warn")
    assert bench.log("warn").count("UserWarning: old") == 2


# --- tasks after which a process must not go on -----------------------------------------------------------------------

TRACES = {
    "thread": ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "it left threads running"),
    "child": ("subprocess.Popen(['sleep', '1000'])", "it left child processes"),
    "daemon": (
        "subprocess.run(['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 &'], env={})",
        "it left child processes",
    ),
    "file": ("kept.append(open('/dev/null'))", "it left files or sockets open, or closed what was not its own"),
    "left_socket": ("kept.append(socket.socket())", "it left files or sockets open, or closed what was not its own"),
    "output": ("kept.append(os.dup(1))", "it left files or sockets open, or closed what was not its own"),
    "standard_input": ("os.close(0); os.open('/etc/hostname', os.O_RDONLY)", "it closed what was not its own"),
    "stdout": ("sys.stdout.close()", "it changed its standard streams"),
    "replaced_stdout": ("sys.stdout = io.StringIO()", "it changed its standard streams"),
    "builtin": ("builtins.sum = None", "it changed the builtins"),
    "language": ("locale.setlocale(locale.LC_ALL, 'C')", "it changed its locale"),
    "time_zone": ("os.environ['TZ'] = 'Asia/Tokyo'", "it changed its time zone"),
    "limit": ("resource.setrlimit(resource.RLIMIT_CORE, (0, 0))", "it changed its resource limits or niceness"),
    "niceness": ("os.nice(1)", "it changed its resource limits or niceness"),
    "signal_mask": ("signal.pthread_sigmask(signal.SIG_BLOCK, [10])", "it changed its signal handling"),
    "handler_of_c": ("faulthandler.enable(sys.__stderr__)", "it changed its signal handling"),
    "rights": ("ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)", "it changed its rights or where it may run"),
    "memory": ("kept.append(b'x' * 150_000_000)", "its memory grew"),
    "exit": ("sys.exit(0)", "it ended its process itself"),
}
IMPORTS = (
    "import builtins, ctypes, faulthandler, io, locale, os, resource, signal, socket, subprocess, sys, threading\n"
    "locale.setlocale(locale.LC_ALL, 'C.UTF-8')\n"
    "kept = []\n"
)


@pytest.mark.fault
def test_a_task_that_leaves_a_trace_succeeds_and_its_process_goes(bench):
    bench.dag_file(IMPORTS + WHO + tasks({name: trace for name, (trace, _) in TRACES.items()}))
    executor = bench.executor()
    for name, (_, why) in TRACES.items():
        [before] = pids_of(bench, executor, 1)
        report = bench.run(executor, name)
        assert report.outcome == "success", name
        assert bench.said(name)[0] == f"pid {before}"
        assert f"*** Its process serves no other task: {why}." in bench.log(name)
        assert marked(ATTEMPT_MARK, report.attempt_id) == []
        assert pids_of(bench, executor, 1) != [before]


ENDS = {
    "raises": ("raise ValueError('no')", "failed", "ValueError: no"),
    "leaves": ("os._exit(0)", "failed", "It exited with code 0 before it reported."),
    "exits": ("sys.exit(3)", "failed", "SystemExit: exit code 3"),
    "segfault": ("ctypes.string_at(0)", "lost", "It was killed by SIGSEGV"),
    "killed": ("os.kill(os.getpid(), 9)", "lost", "It was killed by SIGKILL"),
    "no_memory": ("bytearray(1 << 60)", "failed", "MemoryError"),
}


@pytest.mark.fault
def test_a_process_that_ends_badly_with_its_third_task_takes_only_that_along(bench):
    ends = tasks({name: end for name, (end, _, _) in ENDS.items()})
    bench.dag_file(f"import ctypes, resource, sys\nresource.setrlimit(4, (0, 0))\n{WHO}{ends}")
    executor = bench.executor()
    for name, (_, outcome, reason) in ENDS.items():
        [first, second] = pids_of(bench, executor, 2)
        report = bench.run(executor, name)
        assert (report.outcome, report.reason[: len(reason)]) == (outcome, reason)
        assert f"pid {second}" in bench.said(name)
        assert first == second != pids_of(bench, executor, 1)[0]


@pytest.mark.fault
def test_a_second_task_that_takes_too_long_is_ended_and_fails_alone(bench):
    bench.dag_file(WHO + "import signal\ndef wait(): signal.pause()")
    executor = bench.executor()
    [before] = pids_of(bench, executor, 1)
    report = bench.run(executor, "wait", execution_timeout=0.2)
    assert (report.outcome, report.reason) == ("failed", "It ran longer than its execution_timeout of 0.2 s.")
    assert pids_of(bench, executor, 1) != [before]


@pytest.mark.fault
def test_a_second_task_can_be_stopped_with_all_that_it_started(bench):
    bench.dag_file(WHO + "import subprocess\ndef shell(): subprocess.run(['sh', '-c', 'sleep 1000; true'])")
    executor = bench.executor()
    pids_of(bench, executor, 1)
    workload = bench.workload("shell")
    executor.submit(next(iter(executor.free_slots())), [workload])
    bench.wait(executor, lambda event: getattr(event, "started_at", None) is not None)
    executor.stop_attempts([workload.attempt_id], "A person cleared the task.")
    report = bench.finished(executor, workload)
    assert (report.outcome, report.reason) == ("stopped", "A person cleared the task.")
    assert marked(ATTEMPT_MARK, workload.attempt_id) == []


@pytest.mark.fault
def test_a_process_that_dies_while_it_waits_costs_no_task(bench):
    bench.dag_file(WHO)
    executor = bench.executor()
    [pid] = pids_of(bench, executor, 1)
    with ended(int(pid)):
        os.kill(int(pid), signal.SIGKILL)
    assert pids_of(bench, executor, 1) != [pid]


@pytest.mark.fault
def test_a_process_that_waits_goes_with_its_supervisor(bench):
    bench.dag_file(WHO)
    executor = bench.executor()
    supervisor = bench.up(executor).supervisor
    [pid] = pids_of(bench, executor, 1)
    with ended(int(pid)):
        os.kill(supervisor.pid, signal.SIGKILL)


def test_what_is_registered_for_the_end_of_a_process_is_not_called_between_tasks(bench):
    bench.dag_file(WHO + "import atexit\ndef leave(): atexit.register(print, 'at its end'); print('pid', os.getpid())")
    executor = bench.executor()
    [first, second] = pids_of(bench, executor, 2, "leave")
    assert first == second
    assert "at its end" not in bench.log("leave")


def test_a_lot_of_output_is_in_the_log_before_the_end_is_reported(bench):
    bench.dag_file("import os\ndef much():\n    for n in range(20000): print('line', n)\n    os.write(1, b'last\\n')")
    executor = bench.executor()
    for times in (1, 2):
        bench.run(executor, "much")
        said = bench.said("much")
        assert said.count("line 19999") == said.count("last") == times
    assert len(said) == 2 * 20001


def test_a_callback_has_a_process_of_its_own(bench):
    bench.dag_file(WHO)
    source = (bench.bundle / "work.py").read_text()
    called = "schedule=None, on_success_callback=lambda context: print('pid', os.getpid())"
    (bench.bundle / "work.py").write_text(source.replace("schedule=None", called))
    executor = bench.executor()
    [first] = pids_of(bench, executor, 1)
    callback = {"id": "c1", "kind": "on_success_callback", "context": {}}
    context = {"dag_run": {"run_id": "run", "run_type": "manual"}, "params": {}}
    assert bench.run(executor, "", callback=callback, context=context).outcome == "success"
    assert pids_of(bench, executor, 1) == [first]


@pytest.mark.fault
def test_a_process_that_waits_goes_with_its_zygote_and_the_next_task_runs(bench):
    bench.dag_file(WHO)
    executor = bench.executor()
    [pid] = pids_of(bench, executor, 1)
    with ended(int(pid)):
        os.kill(psutil.Process(int(pid)).ppid(), signal.SIGKILL)
    assert pids_of(bench, executor, 1) != [pid]


def test_a_process_waits_for_half_a_minute_and_is_let_go_then(bench):
    loop, clock, ended = Loop(), FakeClock(), []
    pool = WarmPool(loop, clock, most=5, places=1, end=ended.append)
    ours, theirs = socket.socketpair()
    control = ours.detach()
    loop.watch(control, READ, ended.append)
    workload = bench.workload("who")
    log, outbox = LogWriter(bench.home / "1.log", clock), Outbox(loop, control)
    attempt = Attempt(workload=workload, log=log, control=control, output=-1, outbox=outbox, begun=0.0)
    pool.keep(attempt, 0.1)
    assert pool.due == clock.monotonic() + IDLE_SECONDS
    pool.check(pool.due - 0.001)
    assert ended == []
    pool.check(pool.due)
    assert ended == [workload.attempt_id]
    assert theirs.recv(1) == b""  # which is how a process hears of it
    assert pool.due == math.inf
    theirs.close()
    loop.close()
