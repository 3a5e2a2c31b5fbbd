"""Files of variables and connections: JSON, YAML, or lines ``name=value``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

from clockmill.credentials.fields import ConnectionFields, VariableFields, connection_from_mapping
from clockmill.credentials.uri import format_uri, parse_connection
from clockmill.errors import UsageError


class FileFormat(StrEnum):
    """How a file of variables or connections is written."""

    JSON = "json"  #: one object: name to value, or to an object of fields
    YAML = "yaml"  #: the same in YAML
    ENV = "env"  #: lines ``name=value``; a connection is a URI or JSON


_SUFFIXES = {".json": FileFormat.JSON, ".yaml": FileFormat.YAML, ".yml": FileFormat.YAML, ".env": FileFormat.ENV}


def file_format(path: Path) -> FileFormat:
    """The format that the suffix of a file says.

    :raises UsageError: when it says none.
    """
    suffix = path.suffix or (path.name if path.name == ".env" else "")
    if suffix.lower() not in _SUFFIXES:
        raise UsageError(f"The file {str(path)!r} must end in {', '.join(_SUFFIXES)}, which says how it is written.")
    return _SUFFIXES[suffix.lower()]


def parse_variables(text: str, kind: FileFormat) -> list[VariableFields]:
    """The variables in a file; a value that is not text is kept as its JSON.

    :raises UsageError: when the file cannot be understood.
    """
    return [_variable(key, value) for key, value in _READERS[kind](text).items()]


def parse_connections(text: str, kind: FileFormat) -> list[ConnectionFields]:
    """The connections in a file, each an object of fields or a URI.

    :raises UsageError: when the file cannot be understood.
    """
    return [as_connection(conn_id, value) for conn_id, value in _READERS[kind](text).items()]


def format_variables(variables: Iterable[VariableFields], kind: FileFormat) -> str:
    """A file of variables that :func:`parse_variables` reads back; ``env`` has no room for descriptions.

    :raises UsageError: when ``env`` cannot hold a key.
    """
    if kind is FileFormat.ENV:
        return _write_env((variable.key, variable.value) for variable in variables)
    return _write(kind, {variable.key: _described(variable) for variable in variables})


def format_connections(connections: Iterable[ConnectionFields], kind: FileFormat) -> str:
    """A file of connections that :func:`parse_connections` reads back, secrets included.

    :raises UsageError: when ``env`` cannot hold an id.
    """
    if kind is FileFormat.ENV:
        return _write_env((connection.conn_id, format_uri(connection)) for connection in connections)
    return _write(kind, {connection.conn_id: _object(connection) for connection in connections})


def as_text(key: str, value: Any) -> str:
    """The value of a variable as it is kept: text as it is, anything else as its JSON.

    :raises UsageError: when JSON does not know it.
    """
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except TypeError:
        raise UsageError(f"The value of the variable {key!r} is no text and nothing that JSON knows.") from None


def as_connection(conn_id: str, value: Any) -> ConnectionFields:
    """The connection that a URI, a JSON text or a mapping of fields describes.

    :raises UsageError: when it is none of them.
    """
    if isinstance(value, str):
        return parse_connection(conn_id, value)
    if isinstance(value, Mapping):
        return connection_from_mapping(conn_id, value)
    raise UsageError(f"The connection {conn_id!r} must be a URI or an object of fields.")


def _variable(key: str, value: Any) -> VariableFields:
    description = ""
    if isinstance(value, dict) and "value" in value and value.keys() <= {"value", "description"}:
        value, description = value["value"], str(value.get("description") or "")
    return VariableFields(key=key, value=as_text(key, value), description=description)


def _described(variable: VariableFields) -> Any:
    if not variable.description:
        return variable.value
    return {"value": variable.value, "description": variable.description}


def _object(connection: ConnectionFields) -> dict[str, Any]:
    fields = asdict(connection)
    del fields["conn_id"]
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


def _read_json(text: str) -> dict[str, Any]:
    try:
        return _named(json.loads(text, object_pairs_hook=_without_doubles))
    except json.JSONDecodeError as error:
        raise UsageError(f"The file is not valid JSON: {error}.") from None


def _read_yaml(text: str) -> dict[str, Any]:
    import yaml  # the environment and the gateway need none of it

    try:
        return _named(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise UsageError(f"The file is not valid YAML: {' '.join(str(error).split())}.") from None


def _read_env(text: str) -> dict[str, Any]:
    pairs = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise UsageError(f"Line {number} of the file is not name=value.")
        pairs.append((name.strip(), _unquoted(value.strip(), number)))
    return _without_doubles(pairs)


def _unquoted(value: str, number: int) -> str:
    """A value in double quotes is JSON text, which has a way to write line ends; any other is taken as it is."""
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except json.JSONDecodeError:
        raise UsageError(f"The quotes in line {number} of the file do not close as they should.") from None


_READERS: Mapping[FileFormat, Callable[[str], dict[str, Any]]] = {
    FileFormat.JSON: _read_json,
    FileFormat.YAML: _read_yaml,
    FileFormat.ENV: _read_env,
}


def _named(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict) or not all(isinstance(name, str) for name in data):
        raise UsageError("The file must hold one object, from names to values.")
    return data


def _without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise UsageError(f"The file names {name!r} twice.")
        found[name] = value
    return found


def _write(kind: FileFormat, data: dict[str, Any]) -> str:
    if kind is FileFormat.JSON:
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    import yaml

    return str(yaml.safe_dump(data, sort_keys=False))  # with allow_unicode, U+0085 would come back as a blank


def _write_env(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"{_env_name(name)}={_env_value(value)}\n" for name, value in pairs)


def _env_name(name: str) -> str:
    if "=" in name or name.startswith("#"):
        raise UsageError(f"The name {name!r} cannot be written as name=value; use JSON or YAML.")
    return name


def _env_value(value: str) -> str:
    is_plain = value.isprintable() and value == value.strip() and not value.startswith('"')
    return value if is_plain else json.dumps(value)
