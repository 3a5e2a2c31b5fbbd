"""What the parsing of each DAG file costs and gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, select

from clockmill.storage.tables import dag, dag_version


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """One DAG file.

    :param seconds: how long its last parsing took; None when that is not known.
    :param documents: the stored form of each of its DAGs, as JSON text.
    """

    source: str
    file: str
    seconds: float | None
    dag_ids: tuple[str, ...]
    documents: tuple[str, ...]


def report_files(connection: Connection) -> list[FileReport]:
    """Every file that has active DAGs, by folder and name."""
    statement = (
        select(dag.c.source, dag.c.file, dag.c.dag_id, dag.c.parse_seconds, dag_version.c.document)
        .join(dag_version, dag_version.c.id == dag.c.version_id)
        .where(dag.c.is_active)
        .order_by(dag.c.source, dag.c.file, dag.c.dag_id)
    )
    rows: Iterable[Row[Any]] = connection.execute(statement)
    by_file = groupby(rows, key=lambda row: (row.source, row.file))
    return [_report(source, file, rows) for (source, file), rows in by_file]


def _report(source: str, file: str, rows: Iterable[Row[Any]]) -> FileReport:
    found = list(rows)
    known = [row.parse_seconds for row in found if row.parse_seconds is not None]
    return FileReport(
        source=source,
        file=file,
        seconds=max(known, default=None),
        dag_ids=tuple(row.dag_id for row in found),
        documents=tuple(row.document for row in found),
    )
