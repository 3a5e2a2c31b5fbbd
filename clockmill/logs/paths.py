"""Where the log of a try lies."""

from __future__ import annotations

from pathlib import Path

from clockmill.errors import UsageError
from clockmill.ids import id_problem


def path_for_callback(logs: Path, *, dag_id: str, run_id: str, callback_id: int) -> Path:
    """The file of one callback that has a process of its own: ``DAG_ID/RUN_ID/callbacks/ID.log`` below ``logs``.

    :raises UsageError: as :func:`path_for` does.
    """
    for kind, value in (("DAG", dag_id), ("run", run_id)):
        if problem := id_problem(kind, value):
            raise UsageError(problem)
    return logs / dag_id / run_id / "callbacks" / f"{callback_id}.log"


def path_for(logs: Path, *, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> Path:
    """The file of one try: ``DAG_ID/RUN_ID/TASK_ID/MAP_INDEX/TRY_NUMBER.log`` below ``logs``.

    :raises UsageError: when an id is none, so that no id can name a file outside ``logs``.
    """
    for kind, value in (("DAG", dag_id), ("run", run_id), ("task", task_id)):
        if problem := id_problem(kind, value):
            raise UsageError(problem)
    if map_index < -1 or try_number < 1:
        raise UsageError(f"There is no try {try_number} of map index {map_index}.")
    return logs.joinpath(dag_id, run_id, task_id, str(map_index), f"{try_number}.log")
