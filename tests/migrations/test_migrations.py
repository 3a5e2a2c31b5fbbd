from __future__ import annotations

import ast
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, create_engine, insert, inspect, select, text

from clockmill.clock import parse_iso
from clockmill.errors import DatabaseError, SchemaMismatch, UsageError
from clockmill.migrations import runner
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.testing.servers import PostgresServer

MOMENT = parse_iso("2026-01-01T00:00:00")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with nothing in it, not even a schema."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path}/empty.db", synchronous="OFF")
        yield database
        database.close()
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    admin = create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE empty"))
    database = Database(server.url("empty"))
    yield database
    database.close()
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE empty WITH (FORCE)"))
    admin.dispose()


def fill(connection: Connection) -> None:
    """One row of everything that hangs together."""
    rows: list[tuple[Any, dict[str, Any]]] = [
        (tables.bundle, {"id": 1, "hash": "b", "manifest": {}, "size_bytes": 0, "created_at": MOMENT}),
        (tables.dag, {"dag_id": "d", "file": "d.py", "tags": ["x"], "created_at": MOMENT}),
        (
            tables.dag_version,
            {
                "id": 1, "dag_id": "d", "number": 1, "document": "{}", "document_hash": "h", "code_hash": "c",
                "bundle_id": 1, "file": "d.py", "created_at": MOMENT,
            },
        ),
        (
            tables.dag_run,
            {
                "id": 1, "dag_id": "d", "run_id": "r", "version_id": 1, "state": "queued", "run_type": "manual",
                "run_after": MOMENT, "conf": {}, "queued_at": MOMENT,
            },
        ),
        (tables.task_instance, {"id": 1, "dag_run_id": 1, "task_id": "t"}),
    ]  # fmt: skip
    for table, values in rows:
        connection.execute(insert(table).values(**values))
    connection.execute(tables.dag.update().values(version_id=1))


def test_migrations_make_the_same_schema_as_the_tables(empty: Database) -> None:
    runner.upgrade(empty)
    with empty.engine.connect() as connection:
        # Alembic does not recognise an expression in an index of SQLite; the next test compares indexes exactly.
        unknown = {"ix_task_instance_ready", "ix_task_instance_asking"}
        options = {"include_object": lambda _object, name, *_: name not in unknown}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []


def test_migrations_make_the_same_indexes_checks_and_defaults(empty: Database) -> None:
    runner.upgrade(empty)
    migrated = empty.read(catalogue)
    runner.downgrade(empty, "0002")
    runner.upgrade(empty)
    assert empty.read(catalogue) == migrated
    runner.downgrade(empty, runner.BASE)
    empty.write(lambda c: copied_tables().create_all(c))
    assert empty.read(catalogue) == migrated


def copied_tables() -> MetaData:
    """The tables afresh: making them on PostgreSQL marks constraints as made apart, for SQLite too."""
    copy = MetaData(naming_convention=tables.metadata.naming_convention)
    for table in tables.metadata.sorted_tables:
        table.to_metadata(copy)
    return copy


def catalogue(connection: Connection) -> set[tuple[str, ...]]:
    """What the database itself says of its schema."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(
            text("SELECT tbl_name, name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'alembic%'")
        )
        return {(row[0], row[1], part) for row in rows for part in _parts(row[2] or "")}
    queries = (
        "SELECT table_name, column_name, data_type || coalesce(character_maximum_length::text, ''), is_nullable, "
        "coalesce(column_default, '') FROM information_schema.columns WHERE table_schema = 'public'",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    )
    found = {tuple(row) for query in queries for row in connection.execute(text(query))}
    return {row for row in found if "alembic_version" not in row[0]}


def _parts(sql: str) -> list[str]:
    lines = (line.strip().rstrip(",").replace('"', "") for line in sql.splitlines())
    return [" ".join(line.split()) for line in lines if line]


def test_the_schema_goes_down_step_by_step_and_up_again_with_data_in_it(empty: Database) -> None:
    runner.upgrade(empty)
    empty.write(fill)
    for revision in reversed((runner.BASE, *runner.REVISIONS[:-1])):
        runner.downgrade(empty, revision)
        assert empty.read(lambda c: len(foreign_problems(c))) == 0
    assert empty.read(lambda c: set(inspect(c).get_table_names())) <= {"alembic_version"}
    runner.upgrade(empty)
    empty.write(fill)
    runner.check(empty)


def foreign_problems(connection: Connection) -> list[Any]:
    return list(connection.execute(text("PRAGMA foreign_key_check"))) if connection.dialect.name == "sqlite" else []


def test_data_of_an_older_schema_survives_the_upgrade(empty: Database) -> None:
    runner.upgrade(empty)
    runner.downgrade(empty, "0001")
    empty.write(lambda c: c.execute(insert(tables.pool).values(name="mine", slots=7)))
    runner.upgrade(empty)
    slots = empty.read(lambda c: dict(c.execute(select(tables.pool.c.name, tables.pool.c.slots)).all()))
    assert slots == {"default_pool": 128, "mine": 7}


def test_what_waits_when_the_schema_goes_back_begins_its_try_again(empty: Database) -> None:
    runner.upgrade(empty)
    empty.write(fill)
    empty.write(fill_with_waiting_tasks)
    runner.downgrade(empty, "0002")
    rows = empty.read(lambda c: list(c.execute(text("SELECT task_id, state, due_at FROM task_instance ORDER BY id"))))
    tries = empty.read(lambda c: list(c.execute(text("SELECT id, state FROM attempt ORDER BY id"))))
    assert rows == [("t", "none", None), ("u", "scheduled", None), ("v", "scheduled", None)]
    assert tries == [("a", "released"), ("b", "released")]
    runner.upgrade(empty)
    assert empty.read(lambda c: c.execute(select(tables.task_instance.c.item)).scalars().all()) == [-1, -1, -1]


def fill_with_waiting_tasks(connection: Connection) -> None:
    """A task in each of the states that a newer schema knows, their attempts, and an attempt of a callback."""
    shared = {
        "dag_run_id": 1, "try_number": 1, "token": "k", "executor": "e", "pool": "p", "pool_slots": 1,
        "queued_at": MOMENT, "ended_at": MOMENT,
    }  # fmt: skip
    rows: list[tuple[Any, dict[str, Any]]] = [
        (tables.task_instance, {"id": 2, "dag_run_id": 1, "task_id": "u", "state": "deferred"}),
        (
            tables.task_instance,
            {"id": 3, "dag_run_id": 1, "task_id": "v", "state": "up_for_reschedule", "due_at": MOMENT},
        ),
        (tables.callback, {"id": 1, "dag_run_id": 1, "kind": "k", "context": {}, "created_at": MOMENT}),
        (tables.attempt, {**shared, "id": "a", "task_instance_id": 2, "state": "deferred"}),
        (tables.attempt, {**shared, "id": "b", "task_instance_id": 3, "state": "rescheduled"}),
        (tables.attempt, {**shared, "id": "c", "callback_id": 1, "state": "lost"}),
    ]
    for table, values in rows:
        connection.execute(insert(table).values(**values))


def test_the_revisions_of_the_program_are_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(runner.__file__).parent))
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == runner.REVISIONS
    assert scripts.get_heads() == [runner.head()]


def test_the_steps_import_only_alembic_and_sqlalchemy() -> None:
    for path in (Path(runner.__file__).parent / "versions").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        assert names <= {"__future__", "typing", "sqlalchemy", "alembic"}, path.name


def test_checking_does_not_load_alembic(sqlite_url: str) -> None:
    program = (
        "import sys; from clockmill.migrations import runner; from clockmill.storage.engine import Database\n"
        f"runner.check(Database({sqlite_url!r})); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_empty_database_is_refused_with_what_to_do(empty: Database) -> None:
    with pytest.raises(SchemaMismatch, match=r"is empty: run clockmill db migrate\."):
        runner.check(empty)


def test_an_older_schema_is_refused_with_what_to_do(empty: Database) -> None:
    runner.upgrade(empty)
    runner.downgrade(empty, "0001")
    with pytest.raises(SchemaMismatch, match=r"older \(revision 0001\) .* run clockmill db migrate\."):
        runner.check(empty)


@pytest.mark.parametrize("action", [runner.check, runner.upgrade, lambda database: runner.downgrade(database, "0001")])
def test_a_newer_schema_is_refused_and_left_alone(empty: Database, action: Callable[[Database], object]) -> None:
    runner.upgrade(empty)
    empty.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(SchemaMismatch, match="made by a newer Clockmill"):
        action(empty)
    assert runner.current(empty) == "9999"


def test_upgrading_twice_does_nothing_the_second_time(empty: Database) -> None:
    runner.upgrade(empty)
    assert runner.upgrade(empty) == runner.Migration(before=runner.head(), after=runner.head())


def test_two_migrators_do_not_collide(empty: Database) -> None:
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(lambda _: runner.upgrade(empty), range(2)))
    assert [result.after for result in results] == [runner.head()] * 2
    runner.check(empty)


def test_a_step_that_fails_leaves_nothing_behind(empty: Database) -> None:
    empty.write(lambda c: c.execute(text("CREATE TABLE xcom (mine INTEGER)")))
    with pytest.raises(Exception, match="already exists"):
        runner.upgrade(empty)
    assert empty.read(lambda c: inspect(c).get_table_names()) == ["xcom"]


def test_a_wrong_revision_is_answered_with_the_known_ones(database: Database) -> None:
    with pytest.raises(UsageError, match=r"no revision '1'; known are base, 0001"):
        runner.downgrade(database, "1")


def test_downgrading_never_goes_up(empty: Database) -> None:
    with pytest.raises(UsageError, match=r"at revision base, which is older than 0001"):
        runner.downgrade(empty, "0001")


def test_an_sqlite_file_is_copied_aside_before_it_is_changed(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/clockmill.db")
    assert runner.upgrade(database).backup is None
    database.write(fill)
    copy = runner.downgrade(database, "0001").backup
    second = runner.upgrade(database).backup
    database.close()
    assert copy == tmp_path / f"clockmill.db.{runner.head()}.1.bak"
    assert second == tmp_path / "clockmill.db.0001.1.bak"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT run_id FROM dag_run").fetchall() == [("r",)]
    connection.close()


def test_a_copy_never_overwrites_another(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/clockmill.db")
    runner.upgrade(database)
    assert runner.backup(database) != runner.backup(database)
    database.close()


def test_only_an_sqlite_file_can_be_copied_aside() -> None:
    with pytest.raises(DatabaseError, match="use pg_dump"):
        runner.backup(Database("postgresql+psycopg://nowhere/clockmill"))


def test_a_new_database_has_the_default_pool(database: Database) -> None:
    row = database.read(lambda c: c.execute(select(tables.pool.c.name, tables.pool.c.slots)).one())
    assert tuple(row) == ("default_pool", 128)
