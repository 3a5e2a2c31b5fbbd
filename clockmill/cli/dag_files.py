"""Finding a DAG in the files of its author, to run it in this process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clockmill.cli.app import App
from clockmill.errors import DagDefinitionError, DatabaseError, NotFound, UsageError
from clockmill.model.loader import load_dags

if TYPE_CHECKING:
    from datetime import datetime

    from clockmill.model.dag import DAG

_NOT_SOURCES = frozenset({"__pycache__", "node_modules", "venv"})


def find_dag(app: App, dag_id: str, file: Path | None = None) -> DAG:
    """The DAG with that id, imported from the DAG folder, the examples, or the file named.

    Files that mention the id are tried first, and what is wrong with other files does not matter.

    :raises NotFound: when no file defines it.
    :raises UsageError: when a file that mentions it cannot be imported.
    """
    known: list[str] = []
    problems: list[str] = []
    for number, (path, root) in enumerate([(file, file.parent)] if file else _candidates(app, dag_id)):
        try:
            dags = load_dags(path.absolute(), f"clockmill_tested_{number}_{path.stem}", root.absolute())
        except DagDefinitionError as error:
            problems += [_told(path, error)] if _mentions(path, dag_id) or file else []
            continue
        known += [dag.dag_id for dag in dags]
        for dag in dags:
            if dag.dag_id == dag_id:
                return dag
    if problems:
        raise UsageError(problems[0])
    raise NotFound("DAG", dag_id, known, where=str(file or app.settings.dags_folder))


def run_arguments(app: App, logical_date: datetime | None, conf: dict[str, Any] | None) -> dict[str, Any]:
    """What ``run_dag`` and ``render_task`` are told of a run at that date, with what is stored by name."""
    variables, connections = _stored_values(app)
    return {
        "run_after": logical_date,
        "logical_date": logical_date,
        "run_conf": conf,
        "variables": variables,
        "connections": connections,
    }


def show_logging() -> None:
    """Print what the code of a DAG logs, as it would stand in the log of a task."""
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s: %(message)s")


def _stored_values(app: App) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """The variables and connections of the metadata database; nothing where there is none."""
    from clockmill.storage.connections import export_connections
    from clockmill.storage.variables import export_variables

    try:
        variables = app.read(lambda connection: export_variables(connection, app.cipher))
        connections = app.read(lambda connection: export_connections(connection, app.cipher))
    except DatabaseError:
        return {}, {}
    fields = {each.conn_id: each.to_dict() for each in connections}
    return {each.key: each.value for each in variables}, fields


def _candidates(app: App, dag_id: str) -> Iterator[tuple[Path, Path]]:
    roots = [app.settings.dags_folder]
    if app.settings.core.load_examples:
        roots.append(Path(__file__).parents[1] / "dags")
    files = [(path, root) for root in roots for path in sorted(root.rglob("*.py")) if _is_source(path, root)]
    yield from (found for found in files if _mentions(found[0], dag_id))
    yield from (found for found in files if not _mentions(found[0], dag_id))


def _is_source(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    return not any(part.startswith(".") or part in _NOT_SOURCES for part in parts)


def _mentions(path: Path, dag_id: str) -> bool:
    try:
        return dag_id.encode() in path.read_bytes()
    except OSError:
        return False


def _told(path: Path, error: DagDefinitionError) -> str:
    return f"{path}{f', line {error.line}' if error.line else ''}: {error}"
