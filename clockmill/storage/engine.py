"""The door to the metadata database: transactions as closures, retried where that is safe.

A closure takes a Connection and may be called more than once, so it has no other effect than its statements; ids and
tokens are made before it. Writers on SQLite begin with ``BEGIN IMMEDIATE``, because a deferred transaction that turns
into a write fails at once when another writer was faster, whatever the busy timeout says.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from clockmill.clock import Clock, SystemClock
from clockmill.errors import DatabaseError
from clockmill.probes import probe

__all__ = ["CommitUnknown", "Connection", "Database", "DatabaseUnavailable", "server_version"]

T = TypeVar("T")

#: SQLSTATE classes and codes after which the same closure may simply be run again.
_RETRY_CODES = {"40001", "40P01", "55P03"}
#: The server went away, is not up yet, or has become a standby: connection errors, shutdown, start-up, read-only.
_LOST_CLASSES = ("08",)
_LOST_CODES = {"57P01", "57P02", "57P03", "25006", "25P03"}
_RETRIES = 12
#: By these a connection to a server that went away without a word is noticed within half a minute, not within hours.
_LIVENESS: dict[str, int] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
#: A process that hangs in the middle of a transaction loses it then, and with it what it has locked.
_HUNG_SECONDS = 20.0
_CAREFUL = f"SET idle_in_transaction_session_timeout = {round(_HUNG_SECONDS * 1000)}"
#: PostgreSQL keeps the plan that it made for a statement while the tables were new and empty, and for some tables that
#: are emptied all the time it never learns better: it reads all of a table to find the three rows that it is asked for.
_BY_KEY = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached, or has no room, now; services wait until that has passed."""


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost while a commit was under way: drop caches, read again, decide again."""


class Database:
    """One metadata database.

    :param url: a SQLAlchemy URL; ``sqlite:///PATH`` and ``postgresql+psycopg://...`` are supported.
    :param synchronous: SQLite's ``synchronous`` pragma, ``FULL`` or ``NORMAL``.
    :param goes_by_keys: as :meth:`by_keys` gives it.
    :raises DatabaseError: when the URL cannot be understood or its driver is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock | None = None,
        synchronous: str = "FULL",
        pool_size: int = 5,
        goes_by_keys: bool = False,
    ) -> None:
        self.url = _parsed(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._clock = clock or SystemClock()
        self._pool_size = pool_size
        self._by_keys: Database | None = None
        self.engine = _engine(self.url, synchronous, pool_size, goes_by_keys)

    @property
    def sqlite_path(self) -> Path | None:
        """The file of an SQLite database; None for a server or a database in memory."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    def by_keys(self) -> Database:
        """The same database, by connections of its own, for a service whose every statement finds few rows by an index.

        There PostgreSQL's planner is not asked whether to read a whole table instead; pages and commands ask it. It is
        closed with this one.
        """
        if self.is_sqlite:
            return self
        if self._by_keys is None:
            url = self.url.render_as_string(hide_password=False)
            self._by_keys = Database(url, clock=self._clock, pool_size=self._pool_size, goes_by_keys=True)
        return self._by_keys

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction and commit it.

        :raises CommitUnknown: when nobody can tell whether the commit happened.
        :raises DatabaseUnavailable: when the database cannot be reached.
        :raises DatabaseError: when it refuses for a reason that will not pass.
        """
        return self._retrying(lambda: self._once(work))

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` on one consistent view and change nothing; raises as :meth:`write` does."""
        return self._retrying(lambda: self._look(work))

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        if self._by_keys is not None:
            self._by_keys.close()

    def _once(self, work: Callable[[Connection], T]) -> T:
        with self.engine.connect().execution_options(clockmill_write=True) as connection:
            transaction = connection.begin()
            try:
                result = work(connection)
            except BaseException:
                transaction.rollback()
                raise
            probe("store.commit.before")
            try:
                transaction.commit()
            except DBAPIError as error:
                if _is_lost(error):
                    self.engine.dispose()
                    raise CommitUnknown(f"The connection to {self._name()} was lost during a commit.") from error
                raise
            probe("store.commit.after")
            return result

    def _look(self, work: Callable[[Connection], T]) -> T:
        with self.engine.connect() as connection, connection.begin():
            return work(connection)

    def _retrying(self, call: Callable[[], T]) -> T:
        for attempt in range(_RETRIES):
            try:
                return call()
            except DBAPIError as error:
                if _is_lost(error):
                    self.engine.dispose()
                    if attempt >= 2:
                        raise DatabaseUnavailable(f"{self._name()} cannot be reached: {_line(error)}") from error
                elif not _is_passing(error) or attempt == _RETRIES - 1:
                    raise _explained(error, self._name()) from error
                self._clock.sleep(random.uniform(0.5, 1.0) * min(0.01 * 2**attempt, 0.5))
        raise AssertionError("unreachable")

    def _name(self) -> str:
        return f"The database {self.url.render_as_string(hide_password=True)}"


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise DatabaseError(
            f"The database URL {url!r} cannot be understood; it looks like sqlite:////PATH or "
            "postgresql+psycopg://USER:PASSWORD@HOST/NAME."
        ) from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise DatabaseError(f"The database {parsed.get_backend_name()!r} is not supported; use SQLite or PostgreSQL.")
    return parsed


def _engine(url: URL, synchronous: str, pool_size: int, goes_by_keys: bool) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url, pool_size=pool_size, max_overflow=10) if url.database else create_engine(url)
            _prepare_sqlite(engine, synchronous)
            return engine
        # What a server says in its own encoding could be bytes: those of one that knows none (SQL_ASCII).
        arguments = {"client_encoding": "utf8", **liveness(url)}
        engine = create_engine(url, pool_size=pool_size, max_overflow=10, connect_args=arguments)
        _prepare_postgres(engine, f"{_CAREFUL}; {_BY_KEY}" if goes_by_keys else _CAREFUL)
        return engine
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise DatabaseError(
            "PostgreSQL needs its driver: install it with pip install 'clockmill[postgres]'."
        ) from error


def liveness(url: URL) -> dict[str, Any]:
    """How a connection finds out that the server is gone, as far as the URL does not say it."""
    return {name: value for name, value in _LIVENESS.items() if name not in url.query}


def _prepare_postgres(engine: Engine, settings: str) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(dbapi: Any, _record: object) -> None:
        _check_encoding(dbapi)
        dbapi.autocommit = True
        dbapi.execute(settings)
        dbapi.autocommit = False


def _check_encoding(dbapi: Any) -> None:
    encoding = dbapi.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        name = dbapi.info.dbname
        dbapi.close()  # nobody else has it yet
        raise DatabaseError(
            f"The database {name!r} has the encoding {encoding}, and not UTF8, in which any text has room; make one "
            "with: createdb --template=template0 --encoding=UTF8 NAME."
        )


def _prepare_sqlite(engine: Engine, synchronous: str) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(dbapi: sqlite3.Connection, _record: object) -> None:
        dbapi.isolation_level = None
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "busy_timeout=10000", "foreign_keys=ON"):
            dbapi.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("clockmill_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


def _is_lost(error: DBAPIError) -> bool:
    code = _sqlstate(error)
    if error.connection_invalidated or code[:2] in _LOST_CLASSES or code in _LOST_CODES:
        return True
    # psycopg gives no SQLSTATE when the connection could not be made or broke in the middle.
    return type(error.orig).__module__.startswith("psycopg") and not code and "OperationalError" in type(error).__name__


def _is_passing(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.OperationalError):
        return (error.orig.sqlite_errorcode & 0xFF) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    return _sqlstate(error) in _RETRY_CODES


def _line(error: SQLAlchemyError) -> str:
    orig = getattr(error, "orig", None) or error
    return str(orig).strip().splitlines()[0] if str(orig).strip() else type(orig).__name__


def _explained(error: DBAPIError, name: str) -> Exception:
    """A refusal of the environment becomes one clear line; a mistake in our own SQL stays what it is."""
    if isinstance(error.orig, sqlite3.OperationalError):
        code = error.orig.sqlite_errorcode & 0xFF
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            return DatabaseUnavailable(f"{name} cannot be used: {_line(error)}.")
        environment = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
        return DatabaseError(f"{name} cannot be used: {_line(error)}.") if code in environment else error
    if isinstance(error.orig, sqlite3.DatabaseError) and "not a database" in str(error.orig):
        return DatabaseError(f"{name} cannot be used: {_line(error)}.")
    state = _sqlstate(error)
    if state[:2] == "53":  # no room, no memory, no connection left
        return DatabaseUnavailable(f"{name} cannot be used: {_line(error)}.")
    if state[:2] in {"28", "3D"} or state == "42501":
        return DatabaseError(f"{name} cannot be used: {_line(error)}.")
    return error


def server_version(connection: Connection) -> str:
    """The name and version of the database server, for people."""
    statement: Any = "SELECT sqlite_version()" if connection.dialect.name == "sqlite" else "SHOW server_version"
    return f"{connection.dialect.name} {connection.execute(text(statement)).scalar_one()}"
