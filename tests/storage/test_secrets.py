from __future__ import annotations

import stat
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from clockmill.clock import parse_iso
from clockmill.credentials import ConnectionFields, VariableFields
from clockmill.errors import ConfigError, NotFound, UsageError
from clockmill.storage import connections, events, pools, tables, variables
from clockmill.storage.crypto import Cipher, UnreadableSecret, create_key_file
from clockmill.storage.engine import Database
from clockmill.storage.pools import Pool

NOW: datetime = parse_iso("2026-01-01T00:00:00")


@pytest.fixture
def cipher(tmp_path: Path) -> Cipher:
    create_key_file(tmp_path / "keys" / "fernet.key")
    return Cipher(tmp_path / "keys" / "fernet.key")


def set_variable(database: Database, cipher: Cipher, key: str, value: str) -> None:
    fields = [VariableFields(key=key, value=value)]
    database.write(lambda c: variables.set_variables(c, cipher, fields, at=NOW, actor="test"))


def test_the_key_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "fernet.key"
    assert create_key_file(path)
    before = path.read_bytes()
    assert not create_key_file(path)
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_without_a_key_file_nothing_is_stored(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"fernet\.key cannot be read \(No such file or directory\)"):
        set_variable(database, Cipher(tmp_path / "fernet.key"), "a", "1")
    assert database.read(variables.list_variables) == []


def test_a_broken_key_file_says_what_belongs_there(tmp_path: Path) -> None:
    (tmp_path / "fernet.key").write_text("no key\n")
    with pytest.raises(ConfigError, match="must hold Fernet keys, one a line"):
        Cipher(tmp_path / "fernet.key").encrypt("x")
    (tmp_path / "fernet.key").write_text("")
    with pytest.raises(ConfigError, match="must hold Fernet keys, one a line"):
        Cipher(tmp_path / "fernet.key").encrypt("x")


def test_a_wrong_key_is_named_with_the_secret(tmp_path: Path, cipher: Cipher) -> None:
    other = tmp_path / "other.key"
    create_key_file(other)
    with pytest.raises(UnreadableSecret, match=r"The variable 'a' cannot be decrypted with the keys in .*other\.key"):
        Cipher(other).decrypt(cipher.encrypt("x"), "variable 'a'")


def test_keys_are_changed_by_putting_a_new_one_on_top(tmp_path: Path, cipher: Cipher) -> None:
    old = cipher.encrypt("x")
    create_key_file(tmp_path / "new.key")
    both = tmp_path / "both.key"
    both.write_bytes((tmp_path / "new.key").read_bytes() + cipher.key_file.read_bytes())
    assert Cipher(both).decrypt(old, "variable") == "x"
    assert Cipher(tmp_path / "new.key").decrypt(Cipher(both).encrypt("x"), "variable") == "x"


def test_a_variable_is_set_read_changed_and_deleted(database: Database, cipher: Cipher) -> None:
    for value in ("1", "Zürich ☕ " * 1000):
        set_variable(database, cipher, "a", value)
        assert database.read(lambda c: variables.get_variable(c, cipher, "a")) == value
    database.write(lambda c: variables.delete_variable(c, "a", at=NOW, actor="test"))
    assert database.read(lambda c: variables.get_variable(c, cipher, "a")) is None


def test_no_secret_is_stored_in_clear_or_told_in_events(database: Database, cipher: Cipher) -> None:
    set_variable(database, cipher, "a", "s3cret")
    fields = [ConnectionFields(conn_id="c", password="s3cret", extra={"token": "s3cret"})]
    database.write(lambda c: connections.set_connections(c, cipher, fields, at=NOW, actor="test"))
    stored = database.read(lambda c: [*c.execute(select(tables.variable)), *c.execute(select(tables.connection))])
    listed = database.read(lambda c: [*variables.list_variables(c), *connections.list_connections(c)])
    told = database.read(events.list_events)
    assert "s3cret" not in f"{stored} {listed} {told}"
    assert [event["kind"] for event in told] == ["connection_changed", "variable_changed"]


def test_listed_variables_come_a_page_at_a_time_by_key(database: Database, cipher: Cipher) -> None:
    for key in "bca":
        set_variable(database, cipher, key, "1")
    first = database.read(lambda c: variables.list_variables(c, limit=2))
    rest = database.read(lambda c: variables.list_variables(c, after=first[-1]["key"], limit=2))
    assert [row["key"] for row in first + rest] == ["a", "b", "c"]
    assert first[0] == {"key": "a", "description": "", "changed_at": NOW}


def test_deleting_what_is_not_there_suggests_the_nearest(database: Database, cipher: Cipher) -> None:
    set_variable(database, cipher, "weather_url", "1")
    with pytest.raises(NotFound, match=r"There is no variable 'wether_url'\. Did you mean 'weather_url'\?"):
        database.write(lambda c: variables.delete_variable(c, "wether_url", at=NOW, actor="test"))
    with pytest.raises(NotFound, match="There is no connection 'x'"):
        database.write(lambda c: connections.delete_connection(c, "x", at=NOW, actor="test"))


def test_a_connection_is_read_back_whole(database: Database, cipher: Cipher) -> None:
    fields = ConnectionFields(
        conn_id="db", conn_type="postgres", description="the db", host="h", port=5432, schema="s", login="u",
        password="p:/@?", extra={"sslmode": "require", "deep": {"list": [1, None]}},
    )  # fmt: skip
    database.write(lambda c: connections.set_connections(c, cipher, [fields], at=NOW, actor="test"))
    assert database.read(lambda c: connections.get_connection(c, cipher, "db")) == fields
    assert database.read(lambda c: connections.export_connections(c, cipher)) == [fields]
    assert database.read(lambda c: connections.get_connection(c, cipher, "other")) is None


def test_a_bad_name_stores_nothing_of_a_batch(database: Database) -> None:
    for name in ("", " x", "a\nb", "x" * 251):
        with pytest.raises(UsageError, match="name of"):
            VariableFields(key=name, value="1")
        with pytest.raises(UsageError, match="name of"):
            Pool(name=name, slots=1)
    with pytest.raises(UsageError, match="holds a character that no database can keep"):
        VariableFields(key="a", value="1", description="\x00")


def test_a_pool_is_made_resized_and_deleted(database: Database) -> None:
    for slots in (3, 1, 0):
        database.write(lambda c, n=slots: pools.set_pools(c, [Pool(name="small", slots=n)], at=NOW, actor="test"))
        found = database.read(lambda c: pools.get_pool(c, "small"))
        assert (found.slots, found.used, found.open) == (slots, 0, slots)
    database.write(lambda c: pools.delete_pool(c, "small", at=NOW, actor="test"))
    with pytest.raises(NotFound, match="There is no pool 'small'"):
        database.read(lambda c: pools.get_pool(c, "small"))


def test_the_default_pool_can_be_resized_but_not_deleted(database: Database) -> None:
    database.write(lambda c: pools.set_pools(c, [Pool(name="default_pool", slots=2)], at=NOW, actor="test"))
    assert database.read(lambda c: pools.get_pool(c, "default_pool")).slots == 2
    with pytest.raises(UsageError, match="cannot be deleted; set its slots instead"):
        database.write(lambda c: pools.delete_pool(c, "default_pool", at=NOW, actor="test"))


@pytest.mark.parametrize("slots", [-1, 2**31])
def test_a_pool_has_a_sensible_number_of_slots(slots: int) -> None:
    with pytest.raises(UsageError, match=r"must have from 0 to 2147483647 slots"):
        Pool(name="p", slots=slots)


def test_the_usage_of_a_pool_is_what_live_attempts_hold(database: Database, rows) -> None:
    run = rows.run(rows.dag("d"), "d", "r")
    for number, state in enumerate(("queued", "running", "stopping", "success", "lost")):
        task = rows.task(run, f"t{number}")
        rows.attempt(run, task, f"a{number}", state, pool_slots=2)
    found = database.read(lambda c: pools.get_pool(c, "default_pool"))
    assert (found.used, found.open) == (6, 122)
