"""Finding what a person names, with the nearest name when it is not there.

The connections here are what a closure of ``Database.read`` is given.
"""

from __future__ import annotations

from typing import Any

from clockmill.errors import NoSuchInstance, NotFound
from clockmill.serde import Document, decode
from clockmill.storage import pages, run_pages, runs, versions
from clockmill.storage.pages import DagLine
from clockmill.storage.records import RunRow, TaskRow

_SUGGESTED_RUNS = 200


def the_dag(connection: Any, dag_id: str) -> DagLine:
    """The DAG with that id, also when its file is gone.

    :raises NotFound: when there is none.
    """
    found = pages.find_dag(connection, dag_id)
    if found is None:
        raise NotFound("DAG", dag_id, versions.dag_ids(connection))
    return found


def the_run(connection: Any, dag_id: str, run_id: str) -> RunRow:
    """The run with that id.

    :raises NotFound: when there is no such DAG or run.
    """
    the_dag(connection, dag_id)
    found = runs.find_run(connection, dag_id, run_id)
    if found is None:
        known = pages.list_runs(connection, dag_id, limit=_SUGGESTED_RUNS)
        raise NotFound("run", run_id, [line.run_id for line in known])
    return found


def the_task(connection: Any, run: RunRow, task_id: str, map_index: int) -> TaskRow:
    """A task instance of a run.

    :raises NotFound: when there is none.
    """
    found = run_pages.find_task(connection, run.id, task_id, map_index)
    if found is None:
        known = runs.task_ids_known(connection, run.id)
        if task_id in known:
            raise NoSuchInstance(task_id, map_index, run_pages.count_instances(connection, run.id, task_id))
        raise NotFound("task", task_id, known)
    return found


def newest_document(connection: Any, dag_id: str) -> Document:
    """The newest version of a DAG.

    :raises NotFound: when there is no such DAG.
    """
    line = the_dag(connection, dag_id)
    version = None if line.version_id is None else pages.find_version(connection, line.version_id)
    if version is None:
        raise NotFound("version of the DAG", dag_id)
    return decode(version.document)


def tasks_of(connection: Any, run: RunRow, task_id: str) -> list[TaskRow]:
    """The task instances of one task of a run.

    :raises NotFound: when there is no such task.
    """
    found = [row for row in runs.load_tasks(connection, run.id) if row.task_id == task_id]
    if not found:
        raise NotFound("task", task_id, runs.task_ids_known(connection, run.id))
    return found
