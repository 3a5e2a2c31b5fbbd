from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, select, text

from clockmill.errors import DatabaseError, GatewayUnavailable
from clockmill.migrations import runner
from clockmill.probes import arm
from clockmill.storage import engine as engine_module
from clockmill.storage import pools
from clockmill.storage.crypto import Cipher
from clockmill.storage.engine import CommitUnknown, Database, DatabaseUnavailable
from clockmill.storage.gateway import DatabaseGateway
from clockmill.storage.pools import Pool
from clockmill.storage.tables import pool
from clockmill.testing.clock import FakeClock
from clockmill.testing.servers import PostgresServer, free_port, postgres_server


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server that this test may stop."""
    with postgres_server() as server:
        yield server


def slots_of(name: str) -> Callable[[Connection], int | None]:
    return lambda c: c.execute(select(pool.c.slots).where(pool.c.name == name)).scalar_one_or_none()


def resize(name: str, slots: int) -> Callable[[Connection], None]:
    return lambda c: pools.set_pools(c, [Pool(name=name, slots=slots)], at=FakeClock().now(), actor="test")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "cannot be understood; it looks like sqlite:"),
        ("mysql://x/y", "The database 'mysql' is not supported; use SQLite or PostgreSQL"),
    ],
)
def test_a_url_that_is_no_good_is_refused_at_once(url: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message):
        Database(url)


@pytest.mark.postgres
def test_a_database_whose_texts_are_not_utf8_is_refused_with_what_to_do(postgres: PostgresServer) -> None:
    engine = create_engine(postgres.url(), isolation_level="AUTOCOMMIT")
    database = Database(postgres.url("without_letters"), clock=FakeClock())
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE without_letters TEMPLATE template0 ENCODING 'SQL_ASCII'"))
        with pytest.raises(DatabaseError, match=r"'without_letters' has the encoding SQL_ASCII, .* createdb"):
            database.read(slots_of("x"))
        database.close()
        connection.execute(text("DROP DATABASE without_letters WITH (FORCE)"))
    engine.dispose()


def test_a_server_that_is_not_there_is_unavailable_in_one_line() -> None:
    database = Database(f"postgresql://me:s3cret@127.0.0.1:{free_port()}/x", clock=FakeClock())
    with pytest.raises(
        DatabaseUnavailable, match=r"cannot be reached: connection failed.*Connection refused"
    ) as caught:
        database.read(slots_of("x"))
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.postgres
def test_a_database_that_does_not_exist_is_named(postgres: PostgresServer) -> None:
    database = Database(postgres.url("nowhere"), clock=FakeClock())
    with pytest.raises(DatabaseError, match='database "nowhere" does not exist'):
        database.read(slots_of("x"))


@pytest.mark.postgres
def test_a_user_without_rights_is_told_so(postgres: PostgresServer, postgres_url: str) -> None:
    owner = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text("CREATE ROLE guest LOGIN"))
    guest = Database(postgres_url.replace("clockmill@", "guest@"))
    with pytest.raises(DatabaseError, match=r"cannot be used: permission denied for table pool\."):
        guest.write(resize("x", 1))
    guest.close()
    with owner.connect() as connection:
        connection.execute(text("DROP ROLE guest"))
    owner.dispose()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"no/folder\.db cannot be used: unable to open database file"):
        Database(f"sqlite:///{tmp_path}/no/folder.db").read(slots_of("x"))


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is no database" * 100)
    with pytest.raises(DatabaseError, match=r"x\.db cannot be used: file is not a database"):
        runner.check(Database(f"sqlite:///{tmp_path}/x.db"))


def test_a_full_disk_is_an_error_that_loses_nothing(sqlite_url: str) -> None:
    database = Database(sqlite_url)

    def fill(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 1}")
        for number in range(10_000):
            resize(f"pool{number}", 1)(connection)

    with pytest.raises(DatabaseUnavailable, match="cannot be used: database or disk is full"):
        database.write(fill)
    assert database.read(slots_of("pool1")) is None
    assert database.read(slots_of("default_pool")) == 128
    database.close()


def test_an_error_of_the_closure_takes_everything_back(database: Database) -> None:
    def break_off(connection: Connection) -> None:
        resize("default_pool", 1)(connection)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        database.write(break_off)
    assert database.read(slots_of("default_pool")) == 128


def test_writers_wait_for_each_other_instead_of_losing_updates(database: Database) -> None:
    def add_one(connection: Connection) -> None:
        slots = connection.execute(
            select(pool.c.slots).where(pool.c.name == "default_pool").with_for_update()
        ).scalar_one()
        resize("default_pool", slots + 1)(connection)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: database.write(add_one), range(20)))
    assert database.read(slots_of("default_pool")) == 148


def test_a_deadlock_is_tried_again(database: Database) -> None:
    database.write(resize("a", 0))
    database.write(resize("b", 0))
    both_hold_one = threading.Barrier(2, timeout=60)

    def raise_in_order(first: str, second: str) -> None:
        is_first_time = True

        def work(connection: Connection) -> None:
            nonlocal is_first_time
            waits, is_first_time = is_first_time and not database.is_sqlite, False
            for name in (first, second):
                connection.execute(pool.update().where(pool.c.name == name).values(slots=pool.c.slots + 1))
                if waits and name == first:
                    both_hold_one.wait()

        database.write(work)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda names: raise_in_order(*names), [("a", "b"), ("b", "a")]))
    assert database.read(slots_of("a")) == database.read(slots_of("b")) == 2


@pytest.mark.postgres
def test_a_connection_lost_at_the_commit_is_unknown_and_not_repeated(postgres_url: str) -> None:
    database = Database(postgres_url)
    other = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    calls = []

    def cut_off() -> None:
        with other.connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": calls[-1]})

    def work(connection: Connection) -> None:
        calls.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        resize("default_pool", 1)(connection)

    disarm = arm("store.commit.before", cut_off)
    try:
        with pytest.raises(CommitUnknown):
            database.write(work)
    finally:
        disarm()
    assert len(calls) == 1
    assert database.read(slots_of("default_pool")) == 128
    database.close()
    other.dispose()


@pytest.mark.postgres
def test_who_hangs_in_a_transaction_loses_its_locks_and_begins_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = Database(postgres_url)
    monkeypatch.setattr(engine_module, "_HUNG_SECONDS", 1.0)
    hanging = Database(postgres_url)
    calls: list[int] = []

    def work(connection: Connection) -> None:
        calls.append(1)
        resize("default_pool", 1)(connection)
        if len(calls) == 1:  # as long as somebody else takes who waits for the row
            others.write(resize("default_pool", 7))
            assert others.read(slots_of("default_pool")) == 7
        resize("default_pool", 1)(connection)

    hanging.write(work)
    assert len(calls) > 1
    assert others.read(slots_of("default_pool")) == 1
    hanging.close()
    others.close()


@pytest.mark.postgres
def test_a_restart_of_the_server_is_survived(own_server: PostgresServer) -> None:
    database = Database(own_server.url(), clock=FakeClock())
    runner.upgrade(database)
    database.write(resize("default_pool", 3))
    own_server.restart()
    assert database.read(slots_of("default_pool")) == 3
    own_server.restart()
    database.write(resize("default_pool", 4))
    assert database.read(slots_of("default_pool")) == 4
    database.close()


@pytest.mark.postgres
def test_while_the_server_is_down_tasks_wait(own_server: PostgresServer, tmp_path: Path, make_rows: Any) -> None:
    database = Database(own_server.url(), clock=FakeClock())
    runner.upgrade(database)
    rows = make_rows(database)
    run = rows.run(rows.dag("d"), "d", "r")
    rows.attempt(run, rows.task(run, "t"), "me")
    gateway = DatabaseGateway(database, Cipher(tmp_path / "no.key"), {"CLOCKMILL_VAR_X": "1"})
    own_server.stop()
    with pytest.raises(GatewayUnavailable, match="cannot be reached"):
        gateway.get_variable("me", "token-me", "x")
    own_server.start()
    assert gateway.get_variable("me", "token-me", "x") == "1"
    gateway.close()
