"""What the kernel allows: the rate at which a loaded zygote forks a child that calls setsid and exits, two in flight.

Beside it the rate of the executor alone, each no-op task in a process of its own, without a scheduler or a database.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure
from clockmill.executors.base import Finished
from clockmill.executors.local import LocalExecutor
from clockmill.executors.setup import ExecutorSetup
from clockmill.ids import new_attempt_id, new_token
from clockmill.protocols import Workload

_TASKS = 1000
_WARM_UP = 100
_SLOTS = 4
_FILE = f"""
from clockmill import DAG
from clockmill.operators.python import PythonOperator
with DAG("floor", schedule=None):
    for number in range({_TASKS}):
        PythonOperator(task_id=f"t{{number}}", python_callable=lambda: None)
"""


def fork_and_exit(file: Path, count: int = _TASKS) -> float:
    """Forks per second of this process once it is a zygote that has loaded ``file``."""
    from clockmill.runtime import zygote

    zygote.warm_up()
    dags = zygote.taskproc.load_file(file.parent, file.name)
    assert dags
    zygote.settle()
    start = time.perf_counter()
    for number in range(count):
        if number >= 2:
            os.wait()
        if os.fork() == 0:
            os.setsid()
            os._exit(0)
    os.wait()
    os.wait()
    return count / (time.perf_counter() - start)


def measured(file: Path) -> float:
    """Forks per second of a fresh process that has loaded the DAG file ``file``, as a zygote does."""
    code = f"from pathlib import Path; from benchmarks.fork_floor import *; print(fork_and_exit(Path({str(file)!r})))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def _workload(folder: Path, number: int) -> Workload:
    return Workload(
        attempt_id=new_attempt_id(),
        token=new_token(),
        dag_id="floor",
        run_id="run",
        task_id=f"t{number % _TASKS}",
        bundle="floor",
        bundle_path=str(folder),
        file="floor.py",
        log_path=str(folder / "logs" / f"{number}.log"),
        context={"dag_run": {"run_id": "run", "run_type": "manual"}, "params": {}, "max_tries": 1},
    )


def _work(executor: LocalExecutor, workloads: list[Workload]) -> None:
    left = len(workloads)
    while left:
        for supervisor_id, free in executor.free_slots().items():
            batch, workloads = workloads[:free], workloads[free:]
            executor.submit(supervisor_id, batch)
        select.select(executor.filenos(), [], [])
        done = [event.report for event in executor.events() if isinstance(event, Finished)]
        assert all(report.outcome == "success" for report in done), done
        executor.acknowledge([report.attempt_id for report in done])
        left -= len(done)


def _executor_rate(folder: Path) -> float:
    """No-op tasks per second of the executor alone."""
    setup = ExecutorSetup(
        name="local", run_folder=folder / "run", home=folder, slots=_SLOTS, gateway="none:none", gateway_spec={}
    )
    executor = LocalExecutor(setup)
    executor.start(1)
    try:
        _work(executor, [_workload(folder, number) for number in range(_WARM_UP)])
        workloads = [_workload(folder, number) for number in range(_TASKS)]
        start = time.perf_counter()
        _work(executor, workloads)
        return _TASKS / (time.perf_counter() - start)
    finally:
        executor.stop(0.0)
        while executor.filenos():
            select.select(executor.filenos(), [], [])
            executor.events()


def run(database: str, runs: int) -> list[Figure]:
    """Both rates, in turn; the database plays no part."""
    floor, rate = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="clockmill-bench-") as name:
            folder = Path(name)
            (folder / "floor.py").write_text(_FILE)
            floor.append(measured(folder / "floor.py"))
            rate.append(_executor_rate(folder))
    return [
        Figure(name="fork of a child that exits", unit="1/s", values=floor),
        Figure(name="no-op tasks by the executor alone", unit="1/s", values=rate),
        Figure(
            name="share of the floor", unit="", values=[mine / most for mine, most in zip(rate, floor, strict=True)]
        ),
    ]
