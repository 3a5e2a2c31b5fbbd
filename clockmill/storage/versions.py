"""DAG versions as the scheduler needs them: the document, and where the code of its tasks comes from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select

from clockmill.errors import NotFound
from clockmill.storage.rows import columns_of
from clockmill.storage.tables import bundle, dag, dag_run, dag_version


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One immutable version of a DAG.

    :param document: its JSON text.
    :param bundle: the content hash of the bundle that its file is in.
    """

    id: int
    dag_id: str
    number: int
    document: str
    bundle: str
    file: str


_COLUMNS = (
    dag_version.c.id,
    dag_version.c.dag_id,
    dag_version.c.number,
    dag_version.c.document,
    bundle.c.hash.label("bundle"),
    dag_version.c.file,
)
_VERSIONS = select(*_COLUMNS).join(bundle, bundle.c.id == dag_version.c.bundle_id)


def version(connection: Connection, version_id: int) -> VersionRow:
    """The version with that row id."""
    return VersionRow(**connection.execute(_VERSIONS.where(dag_version.c.id == version_id)).one()._mapping)


@dataclass(frozen=True, slots=True, kw_only=True)
class DagState:
    """What a person may have changed of a DAG, and its newest version."""

    dag_id: str
    is_paused: bool
    is_active: bool
    version_id: int | None
    max_active_runs: int


def dag_state(connection: Connection, dag_id: str) -> DagState:
    """A DAG as it stands.

    :raises NotFound: when there is none of that name.
    """
    statement = select(*columns_of(DagState, dag)).where(dag.c.dag_id == dag_id)
    row = connection.execute(statement).first()
    if row is None:
        raise NotFound("DAG", dag_id, dag_ids(connection))
    return DagState(**row._mapping)


def dag_ids(connection: Connection) -> list[str]:
    """Every DAG id, for a suggestion."""
    return [row.dag_id for row in connection.execute(select(dag.c.dag_id).order_by(dag.c.dag_id))]


def prune_versions(connection: Connection, before: datetime, *, limit: int = 500) -> int:
    """Delete DAG versions from before ``before`` that no run is pinned to and that are not the newest of their DAG.

    :returns: how many went; call again while it is ``limit``.
    """
    is_newest = select(dag.c.dag_id).where(dag.c.version_id == dag_version.c.id).exists()
    is_used = select(dag_run.c.id).where(dag_run.c.version_id == dag_version.c.id).exists()
    unused = (
        select(dag_version.c.id)
        .where(dag_version.c.created_at < before, ~is_newest, ~is_used)
        .order_by(dag_version.c.id)
        .limit(limit)
    )
    found = list(connection.scalars(unused))
    if found:
        connection.execute(delete(dag_version).where(dag_version.c.id.in_(found)))
    return len(found)
