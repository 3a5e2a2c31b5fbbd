"""What a variable and a connection are made of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from clockmill.errors import UsageError, did_you_mean

MAX_NAME_LENGTH = 250
MASK = "***"

_UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableFields:
    """A variable; its value is always text.

    :raises UsageError: when the key cannot be one.
    """

    key: str
    value: str
    description: str = ""

    def __post_init__(self) -> None:
        check_name("variable", self.key)
        check_text(f"description of the variable {self.key!r}", self.description)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFields:
    """Where something is and how to log in there.

    :param conn_type: what kind of thing it is: ``postgres``, ``http``, ``sqlite``...
    :param extra: whatever else the code that uses it wants to know; values that JSON knows.
    :raises UsageError: when the id or the port cannot be one.
    """

    conn_id: str
    conn_type: str = ""
    description: str = ""
    host: str | None = None
    port: int | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name("connection", self.conn_id)
        for name in ("conn_type", "description", "host", "schema", "login"):
            check_text(f"{name} of the connection {self.conn_id!r}", getattr(self, name) or "")
        if self.port is not None and not 0 <= self.port <= 65535:
            raise UsageError(f"The port of the connection {self.conn_id!r} must be from 0 to 65535, not {self.port}.")

    def to_dict(self) -> dict[str, Any]:
        """Every field by name, secrets included, as a task reads them."""
        return asdict(self)

    def masked(self) -> ConnectionFields:
        """The same without its secrets, for lists and screens."""
        extra = dict.fromkeys(self.extra, MASK)
        return replace(self, password=None if self.password is None else MASK, extra=extra)


_CONNECTION_FIELDS = frozenset(f.name for f in fields(ConnectionFields)) - {"conn_id"}
_TEXT_FIELDS = _CONNECTION_FIELDS - {"port", "extra"}


def connection_from_mapping(conn_id: str, data: Mapping[str, Any]) -> ConnectionFields:
    """The connection that a JSON or YAML object describes; ``extra`` may be an object or JSON text of one.

    :raises UsageError: when a field is unknown or has a value of the wrong kind.
    """
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name == "conn_id" or value is None:
            continue
        if name not in _CONNECTION_FIELDS:
            raise UsageError(
                f"The connection {conn_id!r} has no field {name!r}.{did_you_mean(str(name), _CONNECTION_FIELDS)}"
            )
        values[name] = _field_value(conn_id, name, value)
    return ConnectionFields(conn_id=conn_id, **values)


def _field_value(conn_id: str, name: str, value: Any) -> Any:
    if name == "port":
        return port_number(conn_id, value)
    if name == "extra":
        return _extra_value(conn_id, value)
    if name in _TEXT_FIELDS and isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value) or None if name not in {"conn_type", "description"} else str(value)
    raise UsageError(f"The field {name!r} of the connection {conn_id!r} must be text.")


def _extra_value(conn_id: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}")
        except json.JSONDecodeError:
            value = None
    if not isinstance(value, Mapping):
        raise UsageError(f"The field 'extra' of the connection {conn_id!r} must be an object.")
    return dict(value)


def port_number(conn_id: str, value: Any) -> int:
    """A port from a number or its digits.

    :raises UsageError: when it is neither.
    """
    if isinstance(value, bool) or not str(value).isascii() or not str(value).isdigit():
        raise UsageError(f"The port of the connection {conn_id!r} must be a number, not {value!r}.")
    return int(value)


def check_name(kind: str, name: str) -> None:
    """Return when ``name`` can name a variable, connection or pool.

    :raises UsageError: when it is empty, too long, or holds characters that cannot be seen.
    """
    if not name.strip():
        raise UsageError(f"The name of a {kind} must not be empty.")
    if len(name) > MAX_NAME_LENGTH:
        raise UsageError(f"The name of the {kind} {name[:40]!r}... has {len(name)} characters, of {MAX_NAME_LENGTH}.")
    if name != name.strip() or not name.isprintable():
        raise UsageError(
            f"The name of the {kind} {name!r} must not begin or end with a blank or hold unseen characters."
        )


def check_text(what: str, value: str) -> None:
    """Return when a database can keep ``value``.

    :raises UsageError: when it holds a NUL character or half of a surrogate pair.
    """
    if _UNKEEPABLE.search(value):
        raise UsageError(f"The {what} holds a character that no database can keep.")
