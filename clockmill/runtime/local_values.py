"""Variables and connections without a database: from arguments, files and the environment, for ``dag.test()``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from clockmill.errors import UsageError

VARIABLE_PREFIX = "CLOCKMILL_VAR_"
CONNECTION_PREFIX = "CLOCKMILL_CONN_"

_FIELDS = ("conn_type", "host", "port", "schema", "login", "password", "extra", "description")
_EXTRA = "__extra__"


def read_file(path: str | Path | None) -> dict[str, Any]:
    """The mapping in a JSON or YAML file; empty for no file.

    :raises UsageError: when the file cannot be read or holds no mapping.
    """
    if path is None:
        return {}
    path = Path(path)
    try:
        data = _parse(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"The file {path} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"The file {path} must hold a mapping of names to values, not a {type(data).__name__}.")
    return data


def _parse(path: Path) -> Any:
    text = path.read_text()
    if path.suffix not in (".yaml", ".yml"):
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def variable(key: str, given: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    """The text of a variable: as given, else of the environment variable ``CLOCKMILL_VAR_KEY``."""
    if key in given:
        value = given[key]
        return value if isinstance(value, str) else json.dumps(value)
    return environ.get(VARIABLE_PREFIX + key.upper())


def connection(conn_id: str, given: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any] | None:
    """The fields of a connection: as given, else of the environment variable ``CLOCKMILL_CONN_ID``.

    :raises UsageError: when it is neither a URI nor the fields as JSON.
    """
    value = given.get(conn_id, environ.get(CONNECTION_PREFIX + conn_id.upper()))
    if value is None:
        return None
    fields = parse_connection(conn_id, value) if isinstance(value, str) else _checked(conn_id, value)
    return {"conn_id": conn_id, **fields}


def parse_connection(conn_id: str, text: str) -> dict[str, Any]:
    """The fields of a connection written as JSON or as ``type://login:password@host:port/schema?name=value``.

    :raises UsageError: when it is neither.
    """
    try:
        return _checked(conn_id, json.loads(text)) if text.lstrip().startswith("{") else _from_uri(text)
    except ValueError as error:
        # The text may hold a password, so it is not repeated.
        raise UsageError(f"The connection {conn_id!r} is neither a URI nor JSON ({type(error).__name__}).") from None


def _from_uri(text: str) -> dict[str, Any]:
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError("no scheme")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = options.pop(_EXTRA, None) or (json.dumps(options) if options else None)
    return {
        "conn_type": parts.scheme.replace("-", "_"),
        "host": unquote(parts.hostname) if parts.hostname else None,
        "port": parts.port,
        "schema": unquote(parts.path.removeprefix("/")) or None,
        "login": None if parts.username is None else unquote(parts.username),
        "password": None if parts.password is None else unquote(parts.password),
        "extra": extra,
    }


def _checked(conn_id: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise UsageError(f"The connection {conn_id!r} must be a URI or a mapping of fields.")
    unknown = set(given) - {*_FIELDS, "conn_id"}
    if unknown:
        raise UsageError(
            f"The connection {conn_id!r} has the unknown field {min(unknown)!r}; known are {', '.join(_FIELDS)}."
        )
    fields = {name: given[name] for name in _FIELDS if given.get(name) is not None}
    if not isinstance(fields.get("extra", ""), str):
        fields["extra"] = json.dumps(fields["extra"])
    return fields
