"""Fan-out: many tasks that do nothing, all ready at once. Tasks by the time from first start to last end."""

from __future__ import annotations

from benchmarks import fork_floor
from benchmarks.figures import Figure
from benchmarks.stage import attempts_of, await_dag, await_runs, stage

SOURCE = """
from clockmill import DAG
from clockmill.operators.python import PythonOperator

def nothing():
    pass

with DAG("fanout", schedule=None, max_active_tasks={tasks}):
    for number in range({tasks}):
        PythonOperator(task_id=f"t{{number:05}}", python_callable=nothing)
"""


def run(database: str, runs: int, *, tasks: int = 1000) -> list[Figure]:
    """Run the DAG ``runs`` times in one standalone, after one run that warms it up."""
    rates, cpu, floors = [], [], []
    with stage(database) as theatre:
        file = theatre.add_dag("fanout", SOURCE.format(tasks=tasks))
        with theatre.standalone("--no-examples"), theatre.rows() as rows:
            await_dag(rows, "fanout")
            for number in range(runs + 1):
                run_id = theatre.trigger("fanout")
                await_runs(rows, "fanout", number + 1, 600)
                done = attempts_of(rows, "fanout", run_id)
                assert len(done) == tasks, f"{len(done)} of {tasks} tasks succeeded"
                took = (max(row.ended_at for row in done) - min(row.started_at for row in done)).total_seconds()
                rates.append(tasks / took)
                floors.append(fork_floor.measured(file))
                cpu.append(1000 * sum(row.cpu_seconds or 0.0 for row in done) / tasks)
    shares = [100 * rate / floor for rate, floor in zip(rates, floors, strict=True)]
    return [
        Figure(name=f"fan-out of {tasks}", unit="tasks/s", values=rates[1:]),
        Figure(name="fork floor: a loaded zygote, child exits at once", unit="forks/s", values=floors[1:]),
        Figure(name="fan-out, share of the fork floor", unit="%", values=shares[1:]),
        Figure(name=f"fan-out of {tasks}: CPU in the task process", unit="ms/task", values=cpu[1:]),
    ]
