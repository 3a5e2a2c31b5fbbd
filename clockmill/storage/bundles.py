"""Bundles in the database, from where a worker on another machine takes what it lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from clockmill.storage.conditions import ACTIVE_RUN
from clockmill.storage.tables import bundle, bundle_file, dag, dag_run, dag_version

_AT_ONCE = 500


def missing_contents(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Which of these contents are not stored yet."""
    missing = set(hashes)
    wanted = sorted(missing)
    for first in range(0, len(wanted), _AT_ONCE):
        part = wanted[first : first + _AT_ONCE]
        missing -= set(connection.scalars(select(bundle_file.c.hash).where(bundle_file.c.hash.in_(part))))
    return missing


def add_contents(connection: Connection, contents: dict[str, bytes]) -> None:
    """Store contents by their hash; those that are there already stay."""
    new = missing_contents(connection, contents)
    rows = [{"hash": key, "content": contents[key], "size_bytes": len(contents[key])} for key in sorted(new)]
    if rows:
        connection.execute(insert(bundle_file), rows)


def read_contents(connection: Connection, hashes: Iterable[str]) -> dict[str, bytes]:
    """Contents by hash; those that are not stored are left out."""
    rows = connection.execute(
        select(bundle_file.c.hash, bundle_file.c.content).where(bundle_file.c.hash.in_(sorted(set(hashes))))
    )
    return {row.hash: row.content for row in rows}


def store_bundle(connection: Connection, source: str, bundle_hash: str, manifest: dict[str, Any], at: datetime) -> int:
    """The row id of a bundle, which is added when it is not there; its contents are stored before.

    :param manifest: ``{path: [sha256, size, mode]}``.
    """
    known = connection.scalar(select(bundle.c.id).where(bundle.c.hash == bundle_hash))
    if known is not None:
        return int(known)
    values = {
        "source": source,
        "hash": bundle_hash,
        "manifest": manifest,
        "size_bytes": sum(entry[1] for entry in manifest.values()),
        "created_at": at,
    }
    return int(connection.execute(insert(bundle).values(**values).returning(bundle.c.id)).scalar_one())


def load_manifest(connection: Connection, bundle_hash: str) -> dict[str, Any] | None:
    """``{path: [sha256, size, mode]}`` of a bundle, or None when it is not stored."""
    manifest: dict[str, Any] | None = connection.scalar(select(bundle.c.manifest).where(bundle.c.hash == bundle_hash))
    return manifest


def bundle_hashes(connection: Connection) -> set[str]:
    """The hashes of all bundles that are stored."""
    return set(connection.scalars(select(bundle.c.hash)))


def needed_bundles(connection: Connection) -> set[str]:
    """The hashes of bundles that tasks may need: of the newest version of an active DAG, or of an active run."""
    joined = select(bundle.c.hash).join(dag_version, dag_version.c.bundle_id == bundle.c.id)
    newest = joined.join(dag, dag.c.version_id == dag_version.c.id).where(dag.c.is_active)
    running = joined.join(dag_run, dag_run.c.version_id == dag_version.c.id).where(ACTIVE_RUN)
    return {*connection.scalars(newest), *connection.scalars(running)}


def prune_bundles(connection: Connection, before: datetime) -> int:
    """Delete bundles from before ``before`` that no version comes from, and contents that no bundle has any more.

    :returns: how many bundles went.
    """
    is_used = select(dag_version.c.id).where(dag_version.c.bundle_id == bundle.c.id).exists()
    found = list(connection.scalars(select(bundle.c.id).where(bundle.c.created_at < before, ~is_used)))
    if not found:
        return 0
    gone: set[str] = set()
    for manifest in connection.scalars(select(bundle.c.manifest).where(bundle.c.id.in_(found))):
        gone |= {entry[0] for entry in manifest.values()}
    connection.execute(delete(bundle).where(bundle.c.id.in_(found)))
    for manifest in connection.scalars(select(bundle.c.manifest)):
        gone -= {entry[0] for entry in manifest.values()}
    contents = sorted(gone)
    for first in range(0, len(contents), _AT_ONCE):
        part = contents[first : first + _AT_ONCE]
        connection.execute(delete(bundle_file).where(bundle_file.c.hash.in_(part)))
    return len(found)
