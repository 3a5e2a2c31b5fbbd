"""Variables and connections as people write them: URIs, files and environment variables. Pure, no database."""

from clockmill.credentials.environment import connection_from_environment, variable_from_environment
from clockmill.credentials.fields import ConnectionFields, VariableFields
from clockmill.credentials.files import (
    FileFormat,
    as_connection,
    as_text,
    file_format,
    format_connections,
    format_variables,
    parse_connections,
    parse_variables,
)
from clockmill.credentials.uri import format_uri, parse_connection, parse_uri

__all__ = [
    "ConnectionFields",
    "FileFormat",
    "VariableFields",
    "as_connection",
    "as_text",
    "connection_from_environment",
    "file_format",
    "format_connections",
    "format_uri",
    "format_variables",
    "parse_connection",
    "parse_connections",
    "parse_uri",
    "parse_variables",
    "variable_from_environment",
]
