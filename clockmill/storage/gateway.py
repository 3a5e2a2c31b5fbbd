"""The read-only task gateway: what a running task may see of the database, by way of its supervisor."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, bindparam, literal_column, select

from clockmill.credentials import connection_from_environment, variable_from_environment
from clockmill.errors import DatabaseError, GatewayUnavailable, TaskGone
from clockmill.protocols import StatesQuery, XComQuery
from clockmill.storage import connections, variables, xcoms
from clockmill.storage.conditions import LIVE_ATTEMPT
from clockmill.storage.crypto import Cipher
from clockmill.storage.elements import Elements
from clockmill.storage.engine import Database
from clockmill.storage.look import states_seen
from clockmill.storage.previous import dates_of_previous_run
from clockmill.storage.tables import attempt

T = TypeVar("T")

#: How a supervisor names the function that opens its gateway.
FACTORY = f"{__name__}:open_gateway"

_IS_LIVE: Select[Any] = select(literal_column("1")).where(
    attempt.c.id == bindparam("attempt_id"), attempt.c.token == bindparam("token"), LIVE_ATTEMPT
)


def gateway_spec(database: Database, key_file: Path) -> dict[str, Any]:
    """What :func:`open_gateway` needs in another process; it holds the password of the database."""
    return {"url": database.url.render_as_string(hide_password=False), "key_file": str(key_file)}


def open_gateway(spec: dict[str, Any]) -> DatabaseGateway:
    """The gateway that :func:`gateway_spec` describes, on connections of its own."""
    return DatabaseGateway(Database(spec["url"], pool_size=1), Cipher(Path(spec["key_file"])))


class DatabaseGateway:
    """A :class:`~clockmill.protocols.ReadGateway` that asks the database itself.

    :param environ: where ``CLOCKMILL_VAR_X`` and ``CLOCKMILL_CONN_X`` win over the database.
    """

    def __init__(self, database: Database, cipher: Cipher, environ: Mapping[str, str] = os.environ) -> None:
        self._database = database
        self._cipher = cipher
        self._environ = environ
        self._elements = Elements()

    def get_xcoms(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> list[tuple[str, int, str]]:
        """XComs of a run; see :class:`~clockmill.protocols.XComQuery`."""
        wanted = XComQuery.from_json(query)
        return self._ask(attempt_id, token, lambda connection: xcoms.find_xcoms(connection, wanted, self._elements))

    def measure_xcoms(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> tuple[int, int | None]:
        """How many such XComs there are, and how many elements the longest has."""
        wanted = XComQuery.from_json(query)
        return self._ask(attempt_id, token, lambda connection: xcoms.measure_xcoms(connection, wanted))

    def get_previous_run(self, attempt_id: str, token: str) -> dict[str, str | None]:
        """The dates of the newest earlier run of the same DAG that succeeded; empty when there is none."""
        return self._ask(attempt_id, token, lambda connection: dates_of_previous_run(connection, attempt_id))

    def get_variable(self, attempt_id: str, token: str, key: str) -> str | None:
        """The value of a variable, from the environment or the database; None when there is none.

        :raises ConfigError: when it cannot be decrypted.
        """

        def look(connection: Connection) -> str | None:
            found = variable_from_environment(key, self._environ)
            return variables.get_variable(connection, self._cipher, key) if found is None else found

        return self._ask(attempt_id, token, look)

    def get_connection(self, attempt_id: str, token: str, conn_id: str) -> dict[str, Any] | None:
        """The fields of a connection, from the environment or the database; None when there is none.

        :raises ConfigError: when it cannot be decrypted.
        """

        def look(connection: Connection) -> dict[str, Any] | None:
            found = connection_from_environment(conn_id, self._environ)
            found = connections.get_connection(connection, self._cipher, conn_id) if found is None else found
            return None if found is None else found.to_dict()

        return self._ask(attempt_id, token, look)

    def get_states(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> dict[str, Any]:
        """How runs of a DAG and their tasks stand; see :class:`~clockmill.protocols.StatesQuery`."""
        wanted = StatesQuery.from_json(query)
        return self._ask(attempt_id, token, lambda connection: states_seen(connection, wanted)).to_json()

    def check(self, attempt_id: str, token: str) -> None:
        """Make sure that an attempt is live and has that token.

        :raises TaskGone: when it does not.
        """
        self._ask(attempt_id, token, lambda connection: None)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _ask(self, attempt_id: str, token: str, look: Callable[[Connection], T]) -> T:
        def work(connection: Connection) -> T:
            if connection.execute(_IS_LIVE, {"attempt_id": attempt_id, "token": token}).first() is None:
                raise TaskGone(f"The attempt {attempt_id} is over or belongs to somebody else.")
            return look(connection)

        try:
            return self._database.read(work)
        except DatabaseError as error:
            raise GatewayUnavailable(str(error)) from error
