"""Connections as URIs: ``postgres://user:password@host:5432/schema?extra=1``.

What is special in a URI is written as ``%XX``. ``_`` in a connection type becomes ``-``, because a scheme cannot hold
it. Extras that are not all text travel as JSON in the one parameter ``__extra__``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from clockmill.credentials.fields import ConnectionFields, connection_from_mapping, port_number
from clockmill.errors import UsageError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.+_\-]*)://(.*)", re.DOTALL)
_PARTS = re.compile(r"(?P<authority>[^/?]*)(?:/(?P<schema>[^?]*))?(?:\?(?P<query>.*))?", re.DOTALL)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>.*))?", re.DOTALL)
_JSON_EXTRA = "__extra__"
_SAME_TYPE = {"postgresql": "postgres"}


def parse_connection(conn_id: str, text: str) -> ConnectionFields:
    """The connection that a URI or a JSON object describes.

    :raises UsageError: when the text is neither.
    """
    if not text.lstrip().startswith("{"):
        return parse_uri(conn_id, text)
    try:
        return connection_from_mapping(conn_id, json.loads(text))
    except json.JSONDecodeError as error:
        raise UsageError(f"The connection {conn_id!r} is not valid JSON: {error}.") from None


def parse_uri(conn_id: str, uri: str) -> ConnectionFields:
    """The connection that a URI describes. No part of the URI is repeated in an error: it may hold a password.

    :raises UsageError: when it is no URI.
    """
    match = _SCHEME.fullmatch(uri.strip())
    if match is None:
        raise UsageError(f"The connection {conn_id!r} must be a URI such as postgres://user:password@host:5432/schema.")
    kind, rest = match[1].lower().replace("-", "_"), match[2]
    parts = _PARTS.fullmatch(rest)
    assert parts is not None  # the pattern matches every text
    userinfo, at, place = parts["authority"].rpartition("@")
    login, _, password = userinfo.partition(":") if at else ("", "", "")
    host, port = _host_and_port(conn_id, place)
    return ConnectionFields(
        conn_id=conn_id,
        conn_type=_SAME_TYPE.get(kind, kind),
        host=host,
        port=port,
        schema=_plain(parts["schema"]),
        login=_plain(login),
        password=_plain(password),
        extra=_extra(conn_id, parts["query"] or ""),
    )


def format_uri(connection: ConnectionFields) -> str:
    """The URI of a connection, secrets included; :func:`parse_uri` gives back the same fields but the description."""
    authority = ""
    if connection.login is not None or connection.password is not None:
        authority = quote(connection.login or "", safe="")
        authority += f":{quote(connection.password, safe='')}@" if connection.password is not None else "@"
    authority += quote(connection.host or "", safe="")
    authority += f":{connection.port}" if connection.port is not None else ""
    path = f"/{quote(connection.schema, safe='')}" if connection.schema is not None else ""
    query = f"?{_query(connection.extra)}" if connection.extra else ""
    return f"{connection.conn_type.replace('_', '-')}://{authority}{path}{query}"


def _host_and_port(conn_id: str, place: str) -> tuple[str | None, int | None]:
    match = _HOST.fullmatch(place)
    if match is None:
        raise UsageError(
            f"The host of the connection {conn_id!r} cannot be understood; write special characters as %XX."
        )
    port = port_number(conn_id, match["port"]) if match["port"] else None
    return _plain(match["host"].strip("[]")), port


def _plain(part: str | None) -> str | None:
    return unquote(part) if part else None


def _query(extra: Mapping[str, Any]) -> str:
    is_plain = all(isinstance(value, str) for value in extra.values()) and _JSON_EXTRA not in extra
    return urlencode(extra) if is_plain else urlencode({_JSON_EXTRA: json.dumps(extra)})


def _extra(conn_id: str, query: str) -> dict[str, Any]:
    pairs = dict(parse_qsl(query, keep_blank_values=True))
    if _JSON_EXTRA not in pairs:
        return dict(pairs)
    try:
        extra = json.loads(pairs[_JSON_EXTRA])
    except json.JSONDecodeError:
        extra = None
    if not isinstance(extra, dict):
        raise UsageError(f"The parameter {_JSON_EXTRA} of the connection {conn_id!r} must be a JSON object.")
    return extra
