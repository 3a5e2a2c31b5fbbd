"""Where the log of a try lies.

A try that runs on the machine of the logs folder, or on one that shares it, writes ``TRY_NUMBER.log``: its attempts
append to one file. What workers send is kept apart by attempt, in the folder ``TRY_NUMBER/``, because the end of one
attempt may come after the beginning of the next one, from another machine.
"""

from __future__ import annotations

from pathlib import Path

from clockmill.errors import UsageError
from clockmill.ids import id_problem
from clockmill.protocols.logs import LogOwner

SUFFIX = ".log"
#: Of a file or an object to which something is still to come.
UNFINISHED = ".part"
#: What the scheduler adds to a try whose attempts are kept apart; behind all ids of attempts.
NOTES = "~notes"


def path_for_callback(logs: Path, *, dag_id: str, run_id: str, callback_id: int) -> Path:
    """The file of one callback that has a process of its own: ``DAG_ID/RUN_ID/callbacks/ID.log`` below ``logs``.

    :raises UsageError: as :func:`path_for` does.
    """
    for kind, value in (("DAG", dag_id), ("run", run_id)):
        if problem := id_problem(kind, value):
            raise UsageError(problem)
    return logs / dag_id / run_id / "callbacks" / f"{callback_id}{SUFFIX}"


def path_for(logs: Path, *, dag_id: str, run_id: str, task_id: str, map_index: int = -1, try_number: int = 1) -> Path:
    """The file of one try: ``DAG_ID/RUN_ID/TASK_ID/MAP_INDEX/TRY_NUMBER.log`` below ``logs``.

    :raises UsageError: when an id is none, so that no id can name a file outside ``logs``.
    """
    for kind, value in (("DAG", dag_id), ("run", run_id), ("task", task_id)):
        if problem := id_problem(kind, value):
            raise UsageError(problem)
    if map_index < -1 or try_number < 1:
        raise UsageError(f"There is no try {try_number} of map index {map_index}.")
    return logs.joinpath(dag_id, run_id, task_id, str(map_index), f"{try_number}{SUFFIX}")


def path_of_owner(logs: Path, owner: LogOwner) -> Path:
    """The file of the try or the callback that an attempt belongs to.

    :raises UsageError: as :func:`path_for` does.
    """
    if owner.callback_id is not None:
        return path_for_callback(logs, dag_id=owner.dag_id, run_id=owner.run_id, callback_id=owner.callback_id)
    return path_for(
        logs,
        dag_id=owner.dag_id,
        run_id=owner.run_id,
        task_id=owner.task_id,
        map_index=owner.map_index,
        try_number=owner.try_number,
    )


def attempts_folder(path: Path) -> Path:
    """Where the parts of the log at ``path`` are that were sent, one for each attempt."""
    return path.with_suffix("")


def notes_file(path: Path) -> Path:
    """Where the scheduler adds to the log at ``path`` when that is kept apart by attempt."""
    return attempts_folder(path) / f"{NOTES}{SUFFIX}"


def name_of(attempt_id: str) -> str:
    """An attempt id as part of a file name.

    :raises UsageError: when it is none.
    """
    if problem := id_problem("attempt", attempt_id):
        raise UsageError(problem)
    return attempt_id
