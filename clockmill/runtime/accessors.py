"""What a task reads by name: variables as ``var.value.x`` and ``var.json.x``, connections as ``conn.x``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from clockmill.credentials import format_uri
from clockmill.credentials.fields import connection_from_mapping
from clockmill.errors import NotFound, UsageError
from clockmill.runtime.channel import TaskChannel

_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach another system.

    :param extra: more fields, as JSON text.
    """

    conn_id: str
    conn_type: str = ""
    host: str | None = None
    port: int | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    extra: str | None = field(default=None, repr=False)
    description: str = ""

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """``extra`` as a dictionary, empty when there is none.

        :raises UsageError: when it is no JSON object.
        """
        try:
            loaded = json.loads(self.extra or "{}")
        except ValueError as error:
            raise UsageError(f"The extra of connection {self.conn_id!r} is no JSON: {error}") from error
        if not isinstance(loaded, dict):
            raise UsageError(f"The extra of connection {self.conn_id!r} is no JSON object.")
        return loaded

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Connection:
        """The connection of which a channel tells the fields."""
        extra = fields.get("extra")
        return cls(**{**fields, "extra": json.dumps(extra) if extra else None})

    def get_uri(self) -> str:
        """The connection as ``type://login:password@host:port/schema?extra``.

        :raises UsageError: when ``extra`` is no JSON object.
        """
        return format_uri(connection_from_mapping(self.conn_id, asdict(self)))


class _Named:
    """Attribute access to things that are looked up by name."""

    def __init__(self, look_up: Callable[[str, Any], Any]) -> None:
        self._look_up = look_up

    def __getattr__(self, name: str) -> Any:
        # Python and Jinja look for special methods on every object; those are no names of ours.
        if name.startswith("__"):
            raise AttributeError(name)
        return self._look_up(name, _MISSING)

    def __getitem__(self, name: str) -> Any:
        return self._look_up(name, _MISSING)

    def get(self, name: str, default: Any = None) -> Any:
        """What has that name, or ``default``."""
        return self._look_up(name, default)


class Variables:
    """``var`` of the context.

    :ivar value: variables as text: ``var.value.x``, ``var.value.get("x", "default")``.
    :ivar json: variables read as JSON.
    """

    def __init__(self, channel: TaskChannel) -> None:
        self._channel = channel
        self.value = _Named(self._text)
        self.json = _Named(self._parsed)

    def _text(self, key: str, default: Any) -> Any:
        text = self._channel.get_variable(key)
        if text is not None:
            return text
        if default is _MISSING:
            raise NotFound("variable", key)
        return default

    def _parsed(self, key: str, default: Any) -> Any:
        text = self._text(key, default)
        if text is default:
            return default
        try:
            return json.loads(text)
        except ValueError as error:
            raise UsageError(f"The variable {key!r} is no JSON: {error}; read it as var.value.{key}.") from error


def connections(channel: TaskChannel) -> _Named:
    """``conn`` of the context: ``conn.my_db.host``, ``conn.get("my_db")``."""

    def look_up(conn_id: str, default: Any) -> Any:
        fields = channel.get_connection(conn_id)
        if fields is not None:
            return Connection.of(fields)
        if default is _MISSING:
            raise NotFound("connection", conn_id)
        return default

    return _Named(look_up)
