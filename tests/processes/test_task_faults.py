"""What a task may do to itself and to us: the right outcome and reason, and no process left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from clockmill.executors.base import SupervisorDown
from clockmill.host.processes import ATTEMPT_MARK, marked

pytestmark = pytest.mark.fault

forked_or_fresh = pytest.mark.parametrize("kind", ["local", "reuse", "subprocess"])


def left_of(report) -> list[int]:
    """The processes that still carry the mark of that attempt."""
    return marked(ATTEMPT_MARK, report.attempt_id)


@forked_or_fresh
def test_a_task_that_raises_fails_with_its_traceback_in_the_log(bench):
    bench.dag_file("def broken(): raise ValueError('no rain data')")
    report = bench.run(bench.executor(), "broken")
    assert (report.outcome, report.reason, report.exit_code) == ("failed", "ValueError: no rain data", 1)
    assert "in broken" in bench.log("broken")
    assert "ended failed: ValueError: no rain data; exit code 1, " in bench.log("broken").splitlines()[-1]


@forked_or_fresh
def test_a_task_that_exits_without_a_report_fails_with_its_exit_code(bench):
    bench.dag_file("import os\ndef leave(): os._exit(3)")
    report = bench.run(bench.executor(), "leave")
    assert (report.outcome, report.exit_code) == ("failed", 3)
    assert report.reason == "It exited with code 3 before it reported."


@forked_or_fresh
def test_a_task_that_dies_by_a_signal_that_we_did_not_send_is_lost(bench):
    bench.dag_file("import os\ndef die():\n    print('last words')\n    os.kill(os.getpid(), 9)")
    report = bench.run(bench.executor(), "die")
    assert (report.outcome, report.exit_code, report.signal) == ("lost", None, 9)
    assert report.reason.startswith("It was killed by SIGKILL (perhaps out of memory); its peak was ")
    assert "last words" in bench.log("die")
    assert "killed by SIGKILL" in bench.log("die").splitlines()[-1]


@forked_or_fresh
def test_a_segmentation_fault_is_named(bench):
    bench.dag_file("import ctypes, resource\ndef crash():\n    resource.setrlimit(4, (0, 0))\n    ctypes.string_at(0)")
    report = bench.run(bench.executor(), "crash")
    assert report.outcome == "lost"
    assert "SIGSEGV" in report.reason


@forked_or_fresh
def test_a_task_that_takes_too_long_is_ended_and_fails(bench):
    bench.dag_file("import signal\ndef wait(): signal.pause()")
    report = bench.run(bench.executor(), "wait", execution_timeout=0.2)
    assert report.outcome == "failed"
    assert report.reason == "It ran longer than its execution_timeout of 0.2 s."


@forked_or_fresh
def test_a_task_that_ignores_term_is_killed_after_its_grace(bench, tmp_path):
    ignores = tmp_path / "ignores"
    os.mkfifo(ignores)
    bench.dag_file(
        "import signal\n"
        "def stubborn():\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"    open({str(ignores)!r}, 'w').close()\n"
        "    while True: signal.pause()"
    )
    executor = bench.executor()
    workload = bench.workload("stubborn", kill_grace=0.2)
    bench.up(executor)
    executor.submit(next(iter(executor.free_slots())), [workload])
    ignores.read_text()  # TERM that came before would end it
    executor.stop_attempts([workload.attempt_id], "A person cleared the task.")
    report = bench.finished(executor, workload)
    assert (report.outcome, report.signal) == ("stopped", 9)


@forked_or_fresh
def test_a_task_that_blocks_in_c_cannot_escape_its_timeout(bench):
    bench.dag_file("import ctypes\ndef deaf(): ctypes.PyDLL(None).sleep(1000)")
    report = bench.run(bench.executor(), "deaf", execution_timeout=0.1, kill_grace=0.2)
    assert report.outcome == "failed"
    assert left_of(report) == []


@forked_or_fresh
def test_a_task_can_be_stopped_and_its_children_go_with_it(bench):
    bench.dag_file("import subprocess\ndef shell(): subprocess.run(['sh', '-c', 'sleep 1000; true'])")
    executor = bench.executor()
    workload = bench.workload("shell")
    bench.up(executor)
    executor.submit(next(iter(executor.free_slots())), [workload])
    bench.wait(executor, lambda event: getattr(event, "started_at", None) is not None)
    executor.stop_attempts([workload.attempt_id], "A person cleared the task.")
    report = bench.finished(executor, workload)
    assert (report.outcome, report.reason) == ("stopped", "A person cleared the task.")
    assert left_of(report) == []


DAEMON = """
import os, signal, time
def daemonise():
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, b"%d" % os.getpid())
            signal.pause()
        os._exit(0)
    print("daemon", os.read(reader, 20).decode())
"""


@forked_or_fresh
def test_a_daemon_that_a_task_left_behind_is_gone_when_its_end_is_reported(bench):
    bench.dag_file(DAEMON)
    report = bench.run(bench.executor(), "daemonise")
    assert report.outcome == "success"
    pid = int(bench.log("daemonise").split("daemon ")[1].split()[0])
    assert left_of(report) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@forked_or_fresh
def test_a_daemon_that_hid_its_mark_is_gone_too(bench):
    bench.dag_file(
        "import subprocess\n"
        "def hide(): print('pid', subprocess.Popen(['env', '-i', 'sleep', '1000'], start_new_session=True).pid)"
    )
    report = bench.run(bench.executor(), "hide")
    assert report.outcome == "success"
    pid = int(bench.log("hide").split("pid ")[1].split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@forked_or_fresh
def test_the_daemon_of_a_running_task_outlives_the_end_of_another_task(bench):
    bench.dag_file(
        DAEMON
        + """
def keep():
    daemonise()
    os.wait()
    open("kept", "w").close()
    signal.pause()
def other(): pass
"""
    )
    os.mkfifo(bench.home / "kept")
    executor = bench.executor()
    keeper = bench.workload("keep")
    bench.up(executor)
    executor.submit(next(iter(executor.free_slots())), [keeper])
    (bench.home / "kept").read_text()
    bench.run(executor, "other")
    assert len(marked(ATTEMPT_MARK, keeper.attempt_id)) == 2
    executor.stop_attempts([keeper.attempt_id], "enough")
    bench.finished(executor, keeper)
    assert marked(ATTEMPT_MARK, keeper.attempt_id) == []


@forked_or_fresh
def test_the_environment_in_proc_shows_the_attempt(bench):
    bench.dag_file(
        "import os\n"
        "def look():\n"
        "    shown = open('/proc/self/environ').read().split(chr(0))\n"
        "    print('same', f\"ATTEMPT_ID={os.environ['ATTEMPT_ID']}\" in shown)\n"
        "    print('key', os.environ['IDEMPOTENCY_KEY'], os.environ['CLOCKMILL_TASK_ID'])"
    )
    report = bench.run(bench.executor(), "look")
    assert report.outcome == "success"
    assert "same True" in bench.log("look")
    assert "key work/run/look/-1 look" in bench.log("look")


@forked_or_fresh
def test_a_task_sees_no_setting_and_no_descriptor_but_its_own(bench, monkeypatch):
    monkeypatch.setenv("CLOCKMILL__DATABASE__URL", "postgresql://user:secret@db/clockmill")
    bench.dag_file(
        "import os, subprocess\n"
        "def look():\n"
        "    print('settings', [name for name in os.environ if name.startswith('CLOCKMILL__')])\n"
        "    print('open', sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1])\n"
        "    print('child', subprocess.check_output(['sh', '-c', 'ls /proc/$$/fd'], text=True).split())"
    )
    bench.run(bench.executor(), "look")
    assert "settings []" in bench.log("look")
    assert "open [0, 1, 2, 3]" in bench.log("look")
    assert "child ['0', '1', '2']" in bench.log("look")


def test_much_output_reaches_the_log_whole_and_in_little_memory(bench):
    bench.dag_file("def shout():\n    for number in range(100_000): print(f'{number:099d}')")
    executor = bench.executor()
    up = bench.up(executor)
    report = bench.run(executor, "shout")
    assert report.outcome == "success"
    assert bench.said("shout") == [f"{number:099d}" for number in range(100_000)]
    status = Path(f"/proc/{up.supervisor.pid}/status").read_text()
    assert int(status.split("VmHWM:")[1].split()[0]) < 100_000


def test_a_line_without_end_is_broken_and_holds_nobody_up(bench):
    bench.dag_file("def endless(): print('x' * 1_000_000, end='')\ndef other(): pass")
    executor = bench.executor()
    assert bench.run(executor, "endless").outcome == "success"
    lines = bench.log("endless").splitlines()
    assert sum(line.count("x") for line in lines) >= 1_000_000
    assert max(len(line) for line in lines) < 17_000


@forked_or_fresh
def test_output_of_print_logging_and_shells_stays_in_order(bench):
    bench.dag_file(
        "import logging, os, sys\n"
        "def mix():\n"
        "    for number in range(20):\n"
        "        print('out', number)\n"
        "        print('err', number, file=sys.stderr)\n"
        "        logging.getLogger('mix').info('log %s', number)\n"
        "        os.system(f'echo shell {number}')"
    )
    bench.run(bench.executor(), "mix")
    expected = [text for n in range(20) for text in (f"out {n}", f"err {n}", f"INFO mix: log {n}", f"shell {n}")]
    assert bench.said("mix") == expected


def test_a_log_that_cannot_be_written_never_stops_a_task(bench):
    bench.dag_file("def hello(): print('hello')")
    report = bench.run(bench.executor(), "hello", log_path="/dev/full")
    assert report.outcome == "success"


def test_a_log_in_a_folder_that_cannot_be_made_never_stops_a_task(bench):
    bench.dag_file("def hello(): print('hello')")
    report = bench.run(bench.executor(), "hello", log_path="/proc/nowhere/1.log")
    assert report.outcome == "success"


def test_a_task_that_breaks_the_protocol_fails_alone(bench):
    bench.dag_file("import os\ndef babble(): os.write(3, b'\\xff' * 100)\ndef other(): pass")
    executor = bench.executor()
    report = bench.run(executor, "babble")
    assert report.outcome == "failed"
    assert "broke the protocol" in report.reason
    assert bench.run(executor, "other").outcome == "success"


LIES = [
    b"[" * 100_000,
    b'["op"]',
    b'{"op": "started", "at": "yesterday"}',
    b'{"op": "started", "at": "0001-01-01T00:00:00+23:59"}',
    b'{"op": "ask", "method": "close", "arguments": [1]}',
    b'{"op": "result", "result": [1]}',
    b'{"op": "result", "result": {}}',
    b'{"op": "result", "result": {"outcome": "released"}}',
    b'{"op": "result", "result": {"outcome": "lost"}}',
    b'{"op": "result", "result": {"outcome": "success", "reason": {"a": 1}}}',
    b'{"op": "result", "result": {"outcome": "success", "ended_at": "soon"}}',
    b'{"op": "result", "result": {"outcome": "success", "xcoms": [["key", 1]]}}',
    b'{"op": "result", "result": {"outcome": "success", "branch": [[]]}}',
    b'{"op": "result", "result": {"outcome": "failed", "retry_after": NaN}}',
]


def test_no_lie_of_a_task_reaches_the_supervisor_or_its_neighbours(bench):
    bench.dag_file(
        "import os\n"
        f"lies = {LIES!r}\n"
        "def lie(number):\n"
        "    os.write(3, len(lies[number]).to_bytes(4) + lies[number])\n"
        "    os._exit(0)\n" + "".join(f"def lie_{number}(): lie({number})\n" for number in range(len(LIES)))
    )
    executor = bench.executor()
    supervisor = bench.up(executor).supervisor
    for number, lie in enumerate(LIES):
        report = bench.run(executor, f"lie_{number}")
        assert report.outcome == "failed", lie
        assert "broke the protocol" in report.reason, lie
    assert Path(f"/proc/{supervisor.pid}").exists()
    assert [event for event in bench.seen if isinstance(event, SupervisorDown)] == []


@forked_or_fresh
def test_a_task_that_dies_with_unread_answers_is_lost_and_has_broken_no_rule(bench):
    bench.dag_file(
        "import os, signal, json, select\n"
        "def die():\n"
        "    ask = json.dumps({'op': 'ask', 'method': 'nothing', 'arguments': {}}).encode()\n"
        "    for _ in range(100): os.write(3, len(ask).to_bytes(4) + ask)\n"
        "    select.select([3], [], [])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    report = bench.run(bench.executor(), "die")
    assert (report.outcome, report.signal) == ("lost", signal.SIGKILL)
    assert "SIGKILL" in report.reason


@forked_or_fresh
def test_what_a_task_forked_and_did_not_end_has_no_word_in_its_result(bench):
    bench.dag_file(
        "import os\n"
        "def parent():\n"
        "    child = os.fork()\n"
        "    if child == 0: raise ValueError('the child')\n"
        "    os.waitpid(child, 0)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert bench.run(bench.executor(), "parent").outcome == "lost"


def test_a_reason_that_no_database_could_hold_is_told_with_escapes(bench):
    bench.dag_file("def odd(): raise ValueError('caf\\udce9 \\0')")
    report = bench.run(bench.executor(), "odd")
    assert (report.outcome, report.exit_code) == ("failed", 1)
    assert report.reason == "ValueError: caf\\udce9 \\0"


def test_a_missing_dag_is_named_with_the_nearest(bench):
    bench.dag_file("def hello(): pass")
    report = bench.run(bench.executor(), "hello", dag_id="worx")
    assert report.outcome == "failed"
    assert "Did you mean 'work'?" in report.reason
