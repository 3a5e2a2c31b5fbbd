"""Variables: named texts that people set and tasks read, encrypted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from clockmill.credentials import VariableFields
from clockmill.errors import NotFound
from clockmill.events import Event, EventKind
from clockmill.storage import events
from clockmill.storage.crypto import Cipher
from clockmill.storage.paging import MAX_PAGE, page_by_name
from clockmill.storage.tables import variable
from clockmill.storage.upsert import upsert

_VALUE = select(variable.c.value)


def set_variables(
    connection: Connection, cipher: Cipher, variables: Iterable[VariableFields], *, at: datetime, actor: str
) -> None:
    """Set variables, new ones or old; each leaves an event without its value.

    :raises ConfigError: when there is no key to encrypt with.
    """
    for each in variables:
        values = {"key": each.key, "value": cipher.encrypt(each.value), "description": each.description}
        upsert(connection, variable, {**values, "changed_at": at})
        events.append(connection, [_changed(each.key, at, actor, "set")])


def get_variable(connection: Connection, cipher: Cipher, key: str) -> str | None:
    """The value of a variable in the database, or None when there is none.

    :raises ConfigError: when it cannot be decrypted.
    """
    token = connection.execute(_VALUE.where(variable.c.key == key)).scalar_one_or_none()
    return None if token is None else cipher.decrypt(token, f"variable {key!r}")


def list_variables(connection: Connection, *, after: str | None = None, limit: int = MAX_PAGE) -> list[dict[str, Any]]:
    """A page of variables by key, without their values: ``key description changed_at``."""
    statement = select(variable.c.key, variable.c.description, variable.c.changed_at)
    return [dict(row._mapping) for row in connection.execute(page_by_name(statement, variable.c.key, after, limit))]


def export_variables(connection: Connection, cipher: Cipher) -> list[VariableFields]:
    """Every variable with its value, by key.

    :raises ConfigError: when one cannot be decrypted.
    """
    rows = connection.execute(select(variable.c.key, variable.c.value, variable.c.description).order_by(variable.c.key))
    return [
        VariableFields(key=key, value=cipher.decrypt(token, f"variable {key!r}"), description=description)
        for key, token, description in rows
    ]


def delete_variable(connection: Connection, key: str, *, at: datetime, actor: str) -> None:
    """Delete a variable.

    :raises NotFound: when there is none with that key.
    """
    if connection.execute(delete(variable).where(variable.c.key == key)).rowcount == 0:
        raise NotFound("variable", key, connection.execute(select(variable.c.key)).scalars())
    events.append(connection, [_changed(key, at, actor, "deleted")])


def _changed(key: str, at: datetime, actor: str, change: str) -> Event:
    return Event(kind=EventKind.VARIABLE_CHANGED, at=at, actor=actor, detail={"key": key, "change": change})
