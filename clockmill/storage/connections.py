"""Connections: where things are and how to log in there; passwords and extras are encrypted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, select

from clockmill.credentials import ConnectionFields
from clockmill.errors import NotFound
from clockmill.events import Event, EventKind
from clockmill.storage import events
from clockmill.storage.crypto import Cipher
from clockmill.storage.paging import MAX_PAGE, page_by_name
from clockmill.storage.tables import connection as table
from clockmill.storage.upsert import upsert

_OPEN = ("conn_id", "conn_type", "description", "host", "port", "schema", "login")
_OPEN_COLUMNS = [table.c[name] for name in _OPEN]
_EVERYTHING = select(*_OPEN_COLUMNS, table.c.secret)


def set_connections(
    connection: Connection, cipher: Cipher, connections: Iterable[ConnectionFields], *, at: datetime, actor: str
) -> None:
    """Set connections, new ones or old; each leaves an event without its secrets.

    :raises ConfigError: when there is no key to encrypt with.
    """
    for each in connections:
        secret = cipher.encrypt(json.dumps({"password": each.password, "extra": dict(each.extra)}))
        values = {name: getattr(each, name) for name in _OPEN}
        upsert(connection, table, {**values, "secret": secret, "changed_at": at})
        events.append(connection, [_changed(each.conn_id, at, actor, "set")])


def get_connection(connection: Connection, cipher: Cipher, conn_id: str) -> ConnectionFields | None:
    """A connection of the database with its secrets, or None when there is none.

    :raises ConfigError: when it cannot be decrypted.
    """
    row = connection.execute(_EVERYTHING.where(table.c.conn_id == conn_id)).first()
    return None if row is None else _decrypted(row._mapping, cipher)


def list_connections(
    connection: Connection, *, after: str | None = None, limit: int = MAX_PAGE
) -> list[dict[str, Any]]:
    """A page of connections by id, without their secrets: ``conn_id conn_type description host port schema login
    changed_at``."""
    statement = select(*_OPEN_COLUMNS, table.c.changed_at)
    return [dict(row._mapping) for row in connection.execute(page_by_name(statement, table.c.conn_id, after, limit))]


def export_connections(connection: Connection, cipher: Cipher) -> list[ConnectionFields]:
    """Every connection with its secrets, by id.

    :raises ConfigError: when one cannot be decrypted.
    """
    return [_decrypted(row._mapping, cipher) for row in connection.execute(_EVERYTHING.order_by(table.c.conn_id))]


def delete_connection(connection: Connection, conn_id: str, *, at: datetime, actor: str) -> None:
    """Delete a connection.

    :raises NotFound: when there is none with that id.
    """
    if connection.execute(delete(table).where(table.c.conn_id == conn_id)).rowcount == 0:
        raise NotFound("connection", conn_id, connection.execute(select(table.c.conn_id)).scalars())
    events.append(connection, [_changed(conn_id, at, actor, "deleted")])


def _decrypted(row: RowMapping, cipher: Cipher) -> ConnectionFields:
    secret = json.loads(cipher.decrypt(row["secret"], f"connection {row['conn_id']!r}"))
    return ConnectionFields(**{name: row[name] for name in _OPEN}, **secret)


def _changed(conn_id: str, at: datetime, actor: str, change: str) -> Event:
    return Event(kind=EventKind.CONNECTION_CHANGED, at=at, actor=actor, detail={"conn_id": conn_id, "change": change})
