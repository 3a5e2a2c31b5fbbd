"""The zygote is small and knows little; a busy DAG file is loaded once, unless that would break its tasks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clockmill.host.processes import children_of

LOOK = """
import os, random
LOADER = os.getpid()
def look(): print('loaded by', 'parent' if LOADER == os.getppid() else 'itself')
def draw(): print('drawn', random.random())
"""


def loaded_by(bench, executor, times: int) -> list[str]:
    """Who loaded the file of each of so many attempts, one after the other."""
    (bench.home / "logs" / "work" / "run" / "look" / "-1" / "1.log").unlink(missing_ok=True)
    for _ in range(times):
        assert bench.run(executor, "look").outcome == "success"
    return [line.removeprefix("loaded by ") for line in bench.said("look")]


def run_until(bench, executor, who: str) -> bool:
    """Run attempts until one tells that ``who`` loaded its file."""
    return any(loaded_by(bench, executor, 1) == [who] for _ in range(200))


def test_the_zygote_knows_no_database_web_or_template():
    code = (
        "import sys, clockmill.runtime.zygote as z; [z.importlib.import_module(n) for n in z._COMMON];"
        "print([n for n in ('sqlalchemy', 'flask', 'celery', 'jinja2', 'croniter', 'asyncio') if n in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_zygote_is_small(bench, monkeypatch):
    # A measurement of coverage would load itself into every child and be measured along.
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)
    executor = bench.executor()
    supervisor = bench.up(executor).supervisor
    bench.dag_file(LOOK)
    bench.run(executor, "look")
    for zygote in children_of(supervisor.pid):
        lines = Path(f"/proc/{zygote}/smaps_rollup").read_text().splitlines()[1:]
        figures = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
        assert figures["Private_Dirty"] + figures["Private_Clean"] < 16_000


def test_a_busy_file_is_loaded_once_for_all(bench):
    bench.dag_file(LOOK)
    executor = bench.executor()
    assert loaded_by(bench, executor, 2) == ["itself", "itself"]
    assert run_until(bench, executor, "parent")


def test_random_numbers_differ_between_tasks_of_one_zygote(bench):
    bench.dag_file(LOOK)
    executor = bench.executor()
    assert run_until(bench, executor, "parent")
    for _ in range(3):
        bench.run(executor, "draw")
    assert len(set(bench.said("draw"))) == 3


@pytest.mark.parametrize(
    "spoiler",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import socket; kept = socket.socket()",
        "import subprocess; kept = subprocess.Popen(['sleep', '1000'])",
        "assert __import__('os').environ['ATTEMPT_ID'].strip('0')",
    ],
    ids=["thread", "socket", "child", "error"],
)
def test_a_file_that_does_not_bear_a_fork_is_loaded_by_each_task(bench, spoiler):
    note = "import os\nwith open('loaders', 'a') as file: file.write(f'{os.getppid()} ')\n"
    bench.dag_file(note + spoiler + "\n" + LOOK)
    executor = bench.executor()
    supervisor = bench.up(executor).supervisor
    loaders = bench.home / "loaders"
    while not loaders.exists() or str(supervisor.pid) not in loaders.read_text().split():  # a zygote has tried to
        assert loaded_by(bench, executor, 1) == ["itself"]
    while len(children_of(supervisor.pid)) > 1:  # until it is dropped
        assert loaded_by(bench, executor, 1) == ["itself"]
    assert loaded_by(bench, executor, 3) == ["itself"] * 3


def test_a_changed_bundle_is_loaded_anew(bench):
    bench.dag_file(LOOK)
    executor = bench.executor()
    assert run_until(bench, executor, "parent")
    assert bench.run(executor, "look", bundle="b2").outcome == "success"
    assert bench.said("look")[-1] == "loaded by itself"


@pytest.mark.fault
def test_a_killed_preloaded_zygote_costs_its_attempts_and_no_more(bench):
    bench.dag_file(LOOK + "import signal\ndef wait(): signal.pause()")
    executor = bench.executor()
    supervisor = bench.up(executor).supervisor
    [base] = children_of(supervisor.pid)
    assert run_until(bench, executor, "parent")
    workload = bench.workload("wait")
    executor.submit(supervisor.id, [workload])
    bench.wait(executor, lambda event: getattr(event, "attempt_id", "") == workload.attempt_id)
    [preloaded] = set(children_of(supervisor.pid)) - {base}
    os.kill(preloaded, signal.SIGKILL)
    assert bench.finished(executor, workload).outcome == "lost"
    assert run_until(bench, executor, "parent")
