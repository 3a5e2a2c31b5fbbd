"""Mapping: many instances of one task, mapped over what another task returned, beside a fan-out of plain tasks."""

from __future__ import annotations

from benchmarks import fanout
from benchmarks.figures import Figure
from benchmarks.stage import Stage, attempts_of, await_dag, await_runs, stage
from clockmill.storage.engine import Database

SOURCE = """
from clockmill import DAG, task

with DAG("mapping", schedule=None, max_active_tasks={instances}):
    @task
    def numbers():
        return list(range({instances}))

    @task
    def nothing(number):
        pass

    nothing.expand(number=numbers())
"""


def _rate(theatre: Stage, rows: Database, dag_id: str, finished: int, tasks: int) -> float:
    run_id = theatre.trigger(dag_id)
    await_runs(rows, dag_id, finished, 600)
    done = [row for row in attempts_of(rows, dag_id, run_id) if row.task_id != "numbers"]
    assert len(done) == tasks, f"{len(done)} of {tasks} tasks succeeded"
    return tasks / (max(row.ended_at for row in done) - min(row.started_at for row in done)).total_seconds()


def run(database: str, runs: int, *, instances: int = 10_000, tasks: int = 1000) -> list[Figure]:
    """Run both DAGs in turn in one standalone, after one run of plain tasks that warms it up."""
    plain, mapped = [], []
    with stage(database) as theatre:
        theatre.add_dag("fanout", fanout.SOURCE.format(tasks=tasks))
        theatre.add_dag("mapping", SOURCE.format(instances=instances))
        with theatre.standalone("--no-examples"), theatre.rows() as rows:
            await_dag(rows, "fanout")
            await_dag(rows, "mapping")
            _rate(theatre, rows, "fanout", 1, tasks)
            for number in range(runs):
                plain.append(_rate(theatre, rows, "fanout", number + 2, tasks))
                mapped.append(_rate(theatre, rows, "mapping", number + 1, instances))
    shares = [after / before for before, after in zip(plain, mapped, strict=True)]
    return [
        Figure(name=f"fan-out of {tasks}, in the same run", unit="tasks/s", values=plain),
        Figure(name=f"{instances} mapped instances", unit="tasks/s", values=mapped),
        Figure(name="mapped, share of the fan-out", unit="ratio", values=shares),
    ]
