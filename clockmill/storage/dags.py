"""DAGs as their files define them: rows, versions, import errors, and what each file was parsed from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from clockmill.state import RunType
from clockmill.storage.rows import columns_of, values_of
from clockmill.storage.tables import dag, dag_run, dag_version, import_error, lit, parsed_file

#: What a database raises when it refuses rows for what they hold; the others of a batch can still be stored.
REFUSALS: tuple[type[Exception], ...] = (SQLAlchemyError, ValueError, OverflowError)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldDag:
    """A DAG that is known, with its newest version.

    :param number: of that version; 0 when it has none.
    """

    dag_id: str
    source: str
    file: str
    is_active: bool
    version_id: int | None
    number: int
    document_hash: str
    code_hash: str
    version_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A version to be added; the number is given by its DAG's newest one."""

    dag_id: str
    number: int
    document: str
    document_hash: str
    code_hash: str
    bundle_id: int
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportErrorRow:
    """Why a file cannot be taken."""

    source: str
    file: str
    line: int | None
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFileRow:
    """What a file was parsed from.

    :param dependencies: values that JSON knows, as the parser wants them back.
    """

    file: str
    fingerprint: str
    dependencies: dict[str, Any]
    parsed_at: datetime


def hold_dags(connection: Connection, dag_ids: Collection[str]) -> dict[str, HeldDag]:
    """Hold the rows of DAGs, as far as they exist, and give them with their newest versions."""
    held = select(dag.c.dag_id).where(dag.c.dag_id.in_(sorted(dag_ids))).order_by(dag.c.dag_id).with_for_update()
    found = list(connection.scalars(held))
    statement = (
        select(
            dag.c.dag_id,
            dag.c.source,
            dag.c.file,
            dag.c.is_active,
            dag.c.version_id,
            func.coalesce(dag_version.c.number, 0).label("number"),
            func.coalesce(dag_version.c.document_hash, "").label("document_hash"),
            func.coalesce(dag_version.c.code_hash, "").label("code_hash"),
            func.coalesce(dag_version.c.file, "").label("version_file"),
        )
        .outerjoin(dag_version, dag_version.c.id == dag.c.version_id)
        .where(dag.c.dag_id.in_(found))
    )
    return {row.dag_id: HeldDag(**row._mapping) for row in connection.execute(statement)}


def documents(connection: Connection, version_ids: Collection[int]) -> dict[int, str]:
    """The document texts of versions."""
    statement = select(dag_version.c.id, dag_version.c.document).where(dag_version.c.id.in_(sorted(version_ids)))
    return {row.id: row.document for row in connection.execute(statement)}


def newest_scheduled(connection: Connection, dag_id: str) -> datetime | None:
    """The newest logical date of the scheduled runs of a DAG, or None when it has none."""
    statement = select(func.max(dag_run.c.logical_date)).where(
        dag_run.c.dag_id == dag_id, dag_run.c.run_type == lit(RunType.SCHEDULED)
    )
    newest: datetime | None = connection.scalar(statement)
    return newest


def add_dags(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add DAGs that are seen for the first time; ``rows`` have the columns of the table, without a version."""
    if rows:
        connection.execute(insert(dag), rows)


def change_dags(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Change columns of DAGs; each of ``rows`` has ``dag_id`` and the same columns."""
    if not rows:
        return
    columns = [name for name in rows[0] if name != "dag_id"]
    statement = update(dag).where(dag.c.dag_id == bindparam("key")).values({c: bindparam(f"new_{c}") for c in columns})
    connection.execute(
        statement, [{"key": row["dag_id"], **{f"new_{column}": row[column] for column in columns}} for row in rows]
    )


def add_versions(connection: Connection, versions: Sequence[NewVersion], at: datetime) -> None:
    """Add versions and make each the newest of its DAG."""
    if not versions:
        return
    rows = [{**values_of(version), "created_at": at} for version in versions]
    added = connection.execute(insert(dag_version).returning(dag_version.c.id, dag_version.c.dag_id), rows)
    change_dags(connection, [{"dag_id": row.dag_id, "version_id": row.id} for row in added])


def dags_of_files(connection: Connection, source: str, files: Collection[str]) -> list[tuple[str, str]]:
    """The active DAGs of files, as ``(dag_id, file)``."""
    statement = (
        select(dag.c.dag_id, dag.c.file)
        .where(dag.c.source == source, dag.c.file.in_(sorted(files)), dag.c.is_active)
        .order_by(dag.c.dag_id)
    )
    return [(row.dag_id, row.file) for row in connection.execute(statement)]


def active_files(connection: Connection) -> set[tuple[str, str]]:
    """The files that have active DAGs, as ``(source, file)``."""
    rows = connection.execute(select(dag.c.source, dag.c.file).where(dag.c.is_active).distinct())
    return {(row.source, row.file) for row in rows}


def known_files(connection: Connection) -> set[tuple[str, str]]:
    """The files that something is known of: active DAGs, an import error, or what they were parsed from."""
    found = active_files(connection)
    for table in (import_error, parsed_file):
        found |= {(row.source, row.file) for row in connection.execute(select(table.c.source, table.c.file))}
    return found


def missing_dags(connection: Connection, dag_ids: Collection[str]) -> set[str]:
    """Which of these DAGs have no row, as after somebody deleted them."""
    return set(dag_ids) - set(connection.scalars(select(dag.c.dag_id)))


def deactivate(connection: Connection, dag_ids: Collection[str]) -> list[str]:
    """Note that DAGs have no file any more: they start no more runs, their history stays.

    :returns: those that were active until now.
    """
    statement = update(dag).where(dag.c.dag_id.in_(sorted(dag_ids)), dag.c.is_active).values(is_active=False)
    return sorted(connection.scalars(statement.returning(dag.c.dag_id)))


def lock_dags(connection: Connection, dag_ids: Collection[str]) -> None:
    """Hold the rows of DAGs, so that nobody else creates or starts runs of them."""
    statement = select(dag.c.dag_id).where(dag.c.dag_id.in_(sorted(dag_ids))).order_by(dag.c.dag_id)
    connection.execute(statement.with_for_update()).all()


def set_paused_flag(connection: Connection, dag_id: str, *, paused: bool) -> None:
    """Note whether a DAG is paused."""
    connection.execute(update(dag).where(dag.c.dag_id == dag_id).values(is_paused=paused))


def delete_rows(connection: Connection, dag_id: str) -> None:
    """Delete a DAG, its runs and its versions, in the order that the foreign keys ask for."""
    connection.execute(update(dag).where(dag.c.dag_id == dag_id).values(version_id=None))
    connection.execute(delete(dag_run).where(dag_run.c.dag_id == dag_id))
    connection.execute(delete(dag_version).where(dag_version.c.dag_id == dag_id))
    connection.execute(delete(dag).where(dag.c.dag_id == dag_id))


# --- import errors -------------------------------------------------------------------------------------------------


def import_errors(connection: Connection, source: str, files: Collection[str]) -> dict[str, ImportErrorRow]:
    """The import errors of files."""
    statement = select(*columns_of(ImportErrorRow, import_error)).where(
        import_error.c.source == source, import_error.c.file.in_(sorted(files))
    )
    return {row.file: ImportErrorRow(**row._mapping) for row in connection.execute(statement)}


def set_import_error(connection: Connection, error: ImportErrorRow, at: datetime) -> bool:
    """Note why a file cannot be taken, in place of what was noted of it before; whether that is news."""
    known = import_errors(connection, error.source, [error.file]).get(error.file)
    if known == error:
        return False
    clear_import_errors(connection, error.source, [error.file])
    connection.execute(insert(import_error).values(**values_of(error), created_at=at))
    return True


def clear_import_errors(connection: Connection, source: str, files: Collection[str]) -> bool:
    """Forget the import errors of files; whether there were any."""
    statement = delete(import_error).where(import_error.c.source == source, import_error.c.file.in_(sorted(files)))
    return bool(connection.execute(statement).rowcount)


# --- what files were parsed from -----------------------------------------------------------------------------------


def parsed_files(connection: Connection, source: str) -> dict[str, ParsedFileRow]:
    """What the files of a source were parsed from."""
    statement = select(*columns_of(ParsedFileRow, parsed_file)).where(parsed_file.c.source == source)
    return {row.file: ParsedFileRow(**row._mapping) for row in connection.execute(statement)}


def save_parsed_files(connection: Connection, source: str, rows: Iterable[ParsedFileRow]) -> None:
    """Note what files were parsed from, in place of what was noted before."""
    values = [{"source": source, **values_of(row)} for row in rows]
    if values:
        forget_parsed_files(connection, source, [row["file"] for row in values])
        connection.execute(insert(parsed_file), values)


def forget_parsed_files(
    connection: Connection, source: str | None = None, files: Collection[str] | None = None
) -> None:
    """Let files be parsed again: those given, or all of a source, or all."""
    statement = delete(parsed_file)
    if source is not None:
        statement = statement.where(parsed_file.c.source == source)
    if files is not None:
        statement = statement.where(parsed_file.c.file.in_(sorted(files)))
    connection.execute(statement)
