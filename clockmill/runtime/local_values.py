"""Variables and connections without a database: from arguments, files and the environment, for ``dag.test()``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from clockmill.credentials import (
    FileFormat,
    as_connection,
    as_text,
    connection_from_environment,
    file_format,
    parse_connections,
    parse_variables,
    variable_from_environment,
)
from clockmill.errors import UsageError

T = TypeVar("T")


class LocalValues:
    """What is known by name in place of the tables of the metadata database.

    :param variables: name -> text, or a value that is stored as JSON.
    :param connections: id -> URI, or mapping of fields.
    :param environ: where ``CLOCKMILL_VAR_NAME`` and ``CLOCKMILL_CONN_ID`` stand in for what is not given.
    """

    def __init__(
        self, variables: Mapping[str, Any], connections: Mapping[str, Any], environ: Mapping[str, str]
    ) -> None:
        self._variables = variables
        self._connections = connections
        self._environ = environ

    def variable(self, key: str) -> str | None:
        """The text of a variable, or None when there is none.

        :raises UsageError: when its value cannot be stored.
        """
        if key in self._variables:
            return as_text(key, self._variables[key])
        return variable_from_environment(key, self._environ)

    def connection(self, conn_id: str) -> dict[str, Any] | None:
        """The fields of a connection, or None when there is none.

        :raises UsageError: when it is neither a URI nor the fields of a connection.
        """
        if conn_id in self._connections:
            return as_connection(conn_id, self._connections[conn_id]).to_dict()
        found = connection_from_environment(conn_id, self._environ)
        return None if found is None else found.to_dict()


def variables_in(path: str | Path | None) -> dict[str, str]:
    """The variables in a file; none for no file.

    :raises UsageError: when the file cannot be read or understood.
    """
    found = [] if path is None else _parsed(Path(path), parse_variables)
    return {each.key: each.value for each in found}


def connections_in(path: str | Path | None) -> dict[str, dict[str, Any]]:
    """The fields of the connections in a file; none for no file.

    :raises UsageError: when the file cannot be read or understood.
    """
    found = [] if path is None else _parsed(Path(path), parse_connections)
    return {each.conn_id: each.to_dict() for each in found}


def _parsed(path: Path, parse: Callable[[str, FileFormat], list[T]]) -> list[T]:
    try:
        return parse(path.read_text(encoding="utf-8"), file_format(path))
    except (OSError, UnicodeDecodeError, UsageError) as error:
        raise UsageError(f"The variables or connections in {path} cannot be read: {error}") from error
