"""The fan-out with processes that serve many tasks, and where the processor time of a task goes."""

from __future__ import annotations

from pathlib import Path

from benchmarks import processes
from benchmarks.fanout import SOURCE
from benchmarks.figures import Figure
from benchmarks.stage import attempts_of, await_dag, await_runs, stage

TASKS_PER_PROCESS = 100

_PROGRAMS = {"clockmill.runtime.supervisor": "supervisor", "clockmill.runtime.zygote": "zygote"}


def run(database: str, runs: int, *, tasks: int = 1000, tasks_per_process: int = TASKS_PER_PROCESS) -> list[Figure]:
    """Run the DAG ``runs`` times in one standalone, after one run that warms it up."""
    rates: list[float] = []
    spent: list[dict[str, float]] = []
    with stage(database, {"CLOCKMILL__CORE__MAX_TASKS_PER_PROCESS": str(tasks_per_process)}) as theatre:
        theatre.add_dag("fanout", SOURCE.format(tasks=tasks))
        with theatre.standalone("--no-examples") as program, theatre.rows() as rows:
            await_dag(rows, "fanout")
            for number in range(runs + 1):
                before = _spent(program.process.pid)
                run_id = theatre.trigger("fanout")
                await_runs(rows, "fanout", number + 1, 600)
                after = _spent(program.process.pid)
                done = attempts_of(rows, "fanout", run_id)
                assert len(done) == tasks, f"{len(done)} of {tasks} tasks succeeded"
                took = (max(row.ended_at for row in done) - min(row.started_at for row in done)).total_seconds()
                rates.append(tasks / took)
                of_tasks = {"task processes": sum(row.cpu_seconds or 0.0 for row in done)}
                spent.append({role: after[role] - before.get(role, 0.0) for role in after} | of_tasks)
    name = f"fan-out of {tasks}, {tasks_per_process} tasks a process"
    return [
        Figure(name=name, unit="tasks/s", values=rates[1:]),
        *(
            Figure(name=f"CPU of the {role}", unit="ms/task", values=[1000 * each[role] / tasks for each in spent[1:]])
            for role in spent[-1]
        ),
    ]


def _spent(root: int) -> dict[str, float]:
    """Processor seconds so far by what a process does; those of task processes are in their attempts."""
    found: dict[str, float] = {"scheduler": processes.own_cpu_seconds(root)}
    for pid in processes.tree(root):
        parent = _program(processes.parent_of(pid))
        if (role := _program(pid)) and parent != "zygote":
            found[role] = found.get(role, 0.0) + processes.own_cpu_seconds(pid)
    return found


def _program(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return ""
    return next((role for module, role in _PROGRAMS.items() if module in words), "")
