"""Chain: tasks that do nothing, one after the other. From the end of one's code to the start of the next's."""

from __future__ import annotations

import statistics
from itertools import pairwise

from benchmarks.figures import Figure
from benchmarks.stage import attempts_of, await_dag, await_runs, stage

SOURCE = """
from clockmill import DAG, chain
from clockmill.operators.python import PythonOperator

def nothing():
    pass

with DAG("chain", schedule=None):
    chain(*[PythonOperator(task_id=f"t{{number:05}}", python_callable=nothing) for number in range({tasks})])
"""


def run(database: str, runs: int, *, tasks: int = 100) -> list[Figure]:
    """Run the chain ``runs`` times in one standalone, after one run that warms it up."""
    medians, slowest = [], []
    with stage(database) as theatre:
        theatre.add_dag("chain", SOURCE.format(tasks=tasks))
        with theatre.standalone("--no-examples"), theatre.rows() as rows:
            await_dag(rows, "chain")
            for number in range(runs + 1):
                run_id = theatre.trigger("chain")
                await_runs(rows, "chain", number + 1, 300)
                done = attempts_of(rows, "chain", run_id)
                gaps = [(after.started_at - before.ended_at).total_seconds() * 1000 for before, after in pairwise(done)]
                medians.append(statistics.median(gaps))
                slowest.append(statistics.quantiles(gaps, n=20)[-1])
    return [
        Figure(name=f"chain of {tasks}: end to next start, median", unit="ms", values=medians[1:]),
        Figure(name=f"chain of {tasks}: end to next start, 95th percentile", unit="ms", values=slowest[1:]),
    ]
