"""Variables and connections from the environment, which win over those in the database."""

from __future__ import annotations

from collections.abc import Mapping

from clockmill.credentials.fields import ConnectionFields
from clockmill.credentials.uri import parse_connection

VARIABLE_PREFIX = "CLOCKMILL_VAR_"
CONNECTION_PREFIX = "CLOCKMILL_CONN_"


def variable_from_environment(key: str, environ: Mapping[str, str]) -> str | None:
    """The value of ``CLOCKMILL_VAR_KEY``, with the key in capitals, or None."""
    return environ.get(VARIABLE_PREFIX + key.upper())


def connection_from_environment(conn_id: str, environ: Mapping[str, str]) -> ConnectionFields | None:
    """The connection in ``CLOCKMILL_CONN_ID``, with the id in capitals, a URI or JSON; None when there is none.

    :raises UsageError: when its text cannot be understood.
    """
    text = environ.get(CONNECTION_PREFIX + conn_id.upper())
    return None if text is None else parse_connection(conn_id, text)
