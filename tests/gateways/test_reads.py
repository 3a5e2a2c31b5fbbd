"""What a running task reads, the same by every gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from clockmill.clock import parse_iso
from clockmill.credentials import ConnectionFields, VariableFields
from clockmill.errors import ClockmillError, GatewayUnavailable, TaskGone
from clockmill.protocols import ReadGateway
from clockmill.storage import connections, tables, variables
from clockmill.storage.crypto import Cipher, create_key_file
from clockmill.storage.engine import Database
from clockmill.storage.gateway import open_gateway
from clockmill.xcom import decode, encode, length

NOW = parse_iso("2026-01-01T00:00:00")


@pytest.fixture
def gateway(read_gateway: ReadGateway, rows: Any) -> ReadGateway:
    """A gateway, and in the database the live attempt ``me`` of run ``d/now``."""
    version = rows.dag("d")
    for number, run_id in enumerate(("old", "middle", "now", "later")):
        run = rows.run(version, "d", run_id, logical_date=rows.moment(number))
        for task_id in ("a", "b"):
            task = rows.task(run, task_id, "success")
            if (run_id, task_id) not in {("now", "a"), ("middle", "b")}:
                rows.xcom(run, task, task_id, f'"{task_id} {run_id}"')
        if run_id == "now":
            rows.attempt(run, rows.task(run, "reader"), "me")
            for index in (1, 0):
                rows.xcom(run, rows.task(run, "m", "success", map_index=index), "m", str(index), map_index=index)
    return read_gateway


def xcoms(gateway: ReadGateway, **changed: Any) -> list[tuple[str, int, str]]:
    asked = {"dag_id": "d", "run_id": "now", "key": "return_value", **changed}
    return gateway.get_xcoms("me", "token-me", query=asked)


def test_a_task_reads_the_xcoms_of_its_run(gateway: ReadGateway) -> None:
    assert xcoms(gateway) == [("b", -1, '"b now"'), ("m", 0, "0"), ("m", 1, "1")]
    assert xcoms(gateway, task_ids=["m", "b"]) == [("m", 0, "0"), ("m", 1, "1"), ("b", -1, '"b now"')]
    assert xcoms(gateway, task_ids=["m"], map_indexes=[1]) == [("m", 1, "1")]
    assert xcoms(gateway, task_ids=["a"]) == []
    assert xcoms(gateway, task_ids=[]) == []
    assert xcoms(gateway, key="other") == []


def test_a_task_reads_the_xcoms_of_other_runs_and_dags(gateway: ReadGateway, rows: Any) -> None:
    run = rows.run(rows.dag("other"), "other", "r", "success")
    rows.xcom(run, rows.task(run, "t", "success"), "t", "1")
    assert xcoms(gateway, run_id="old", task_ids=["a"]) == [("a", -1, '"a old"')]
    assert xcoms(gateway, dag_id="other", run_id="r") == [("t", -1, "1")]
    assert xcoms(gateway, run_id="nowhere") == []


def test_prior_dates_give_the_newest_value_of_each_task_until_the_run(gateway: ReadGateway) -> None:
    found = xcoms(gateway, task_ids=["a", "b", "m"], include_prior_dates=True)
    assert found == [("a", -1, '"a middle"'), ("b", -1, '"b now"'), ("m", 0, "0"), ("m", 1, "1")]
    assert xcoms(gateway, run_id="middle", task_ids=["b"], include_prior_dates=True) == [("b", -1, '"b old"')]
    assert xcoms(gateway, task_ids=["m"], map_indexes=[7], include_prior_dates=True) == []
    assert xcoms(gateway, run_id="nowhere", include_prior_dates=True) == []


def test_prior_runs_of_one_without_a_logical_date_are_those_made_before(gateway: ReadGateway, rows: Any) -> None:
    run = rows.run(rows.dag("manual"), "manual", "first")
    rows.xcom(run, rows.task(run, "t", "success"), "t", "1")
    rows.run(1, "manual", "second")
    assert xcoms(gateway, dag_id="manual", run_id="second", task_ids=["t"], include_prior_dates=True) == [
        ("t", -1, "1")
    ]


def measured(gateway: ReadGateway, **changed: Any) -> tuple[int, int | None]:
    asked = {"dag_id": "d", "run_id": "now", "key": "return_value", **changed}
    return gateway.measure_xcoms("me", "token-me", query=asked)


VALUES = [[1, "two", [3]], (4, None), {5}, {"six": 6, "x": {"y": 7}}, {8: "eight"}, "nine", 10, None, []]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_an_element_of_a_value_is_handed_over_without_the_rest(gateway: ReadGateway, rows: Any, value: Any) -> None:
    run = rows.run(rows.dag("long"), "long", "r")
    text = encode(value)
    rows.xcom(run, rows.task(run, "t", "success"), "t", text, length=length(text))
    where = {"dag_id": "long", "run_id": "r", "task_ids": ["t"]}
    expected = list(value.items() if isinstance(value, dict) else value if hasattr(value, "__len__") else [])
    expected = [] if isinstance(value, str) else expected
    taken = [xcoms(gateway, **where, element=index) for index in range(len(expected))]
    assert [[decode(text) for _, _, text in found] for found in taken] == [[element] for element in expected]
    assert xcoms(gateway, **where, element=len(expected)) == []
    has_length = not (value is None or isinstance(value, (str, int)))
    assert measured(gateway, **where) == (1, len(expected) if has_length else None)


def test_a_value_that_took_the_place_of_another_is_not_taken_for_it(
    gateway: ReadGateway, database: Database, rows: Any
) -> None:
    run = rows.run(rows.dag("again"), "again", "r")
    task = rows.task(run, "t", "success")
    for number in range(3):
        rows.xcom(run, task, "t", f"[{number}]", id=77, created_at=rows.moment(number))
        assert xcoms(gateway, dag_id="again", run_id="r", element=0) == [("t", -1, str(number))]
        database.write(lambda c: c.execute(delete(tables.xcom).where(tables.xcom.c.id == 77)))


def test_one_instance_of_the_mapped_groups_sees_its_own_values(gateway: ReadGateway, rows: Any) -> None:
    run = rows.run(rows.dag("groups"), "groups", "r")
    for index, scope in enumerate(("0", "1", "1.0", "1.10", "10", "10.0")):
        rows.xcom(run, rows.task(run, "t", "success", map_index=index, scope=scope), "t", f'"{scope}"', map_index=index)
    where = {"dag_id": "groups", "run_id": "r", "task_ids": ["t"]}
    assert xcoms(gateway, **where, scope="1") == [("t", 1, '"1"')]
    assert xcoms(gateway, **where, scope="1", is_within=True) == [
        ("t", 1, '"1"'),
        ("t", 2, '"1.0"'),
        ("t", 3, '"1.10"'),
    ]
    assert measured(gateway, **where, scope="1", is_within=True) == (3, None)
    assert xcoms(gateway, **where, scope="2", is_within=True) == []
    assert [value for _, _, value in xcoms(gateway, **where)] == ['"0"', '"1"', '"1.0"', '"1.10"', '"10"', '"10.0"']


def test_the_values_of_a_mapped_task_are_read_page_by_page(gateway: ReadGateway) -> None:
    assert measured(gateway, task_ids=["m"]) == (2, None)
    assert xcoms(gateway, task_ids=["m"], offset=1, limit=1) == [("m", 1, "1")]
    assert xcoms(gateway, task_ids=["m"], offset=1) == [("m", 1, "1")]
    assert xcoms(gateway, task_ids=["m"], limit=1) == [("m", 0, "0")]
    assert xcoms(gateway, task_ids=["m"], offset=2, limit=9) == []


@pytest.mark.parametrize(
    ("attempt_id", "token"), [("me", "token-other"), ("other", "token-me"), ("over", "token-over")]
)
def test_only_a_live_attempt_with_its_token_is_answered(
    gateway: ReadGateway, rows: Any, attempt_id: str, token: str
) -> None:
    run = rows.run(rows.dag("e"), "e", "r")
    rows.attempt(run, rows.task(run, "t"), "over", "success")
    with pytest.raises(TaskGone, match=f"The attempt {attempt_id} is over or belongs to somebody else"):
        gateway.get_variable(attempt_id, token, "x")


def test_a_task_reads_variables_and_connections(
    gateway: ReadGateway, database: Database, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = Cipher(key_file)
    fields = ConnectionFields(conn_id="db", conn_type="postgres", host="h", password="p", extra={"a": 1})
    one = VariableFields(key="town", value="Zug")
    database.write(lambda c: variables.set_variables(c, cipher, [one], at=NOW, actor="test"))
    database.write(lambda c: connections.set_connections(c, cipher, [fields], at=NOW, actor="test"))
    assert gateway.get_variable("me", "token-me", "town") == "Zug"
    assert gateway.get_variable("me", "token-me", "nothing") is None
    assert gateway.get_connection("me", "token-me", "db") == {
        "conn_id": "db", "conn_type": "postgres", "host": "h", "port": None, "schema": None, "login": None,
        "password": "p", "extra": {"a": 1}, "description": "",
    }  # fmt: skip
    assert gateway.get_connection("me", "token-me", "nothing") is None
    monkeypatch.setenv("CLOCKMILL_VAR_TOWN", "Baar")
    monkeypatch.setenv("CLOCKMILL_CONN_DB", "sqlite://elsewhere")
    found = gateway.get_connection("me", "token-me", "db")
    assert gateway.get_variable("me", "token-me", "town") == "Baar"
    assert found is not None and found["host"] == "elsewhere"


def test_a_secret_that_cannot_be_read_is_an_error_and_no_absence(
    gateway: ReadGateway, database: Database, key_file: Path, tmp_path: Path
) -> None:
    create_key_file(tmp_path / "other.key")
    one = VariableFields(key="town", value="Zug")
    database.write(lambda c: variables.set_variables(c, Cipher(tmp_path / "other.key"), [one], at=NOW, actor="test"))
    with pytest.raises(ClockmillError, match="The variable 'town' cannot be decrypted"):
        gateway.get_variable("me", "token-me", "town")


def test_a_database_that_cannot_be_reached_is_unavailable(key_file: Path, tmp_path: Path) -> None:
    gateway = open_gateway({"url": f"sqlite:///{tmp_path}/no/folder.db", "key_file": str(key_file)})
    with pytest.raises(GatewayUnavailable, match="unable to open database file"):
        gateway.get_variable("me", "token-me", "x")
    gateway.close()


@pytest.mark.parametrize(("middle", "expected"), [("success", "middle"), ("failed", "old")])
def test_the_previous_run_is_the_newest_earlier_one_that_succeeded(
    gateway: ReadGateway, database: Database, middle: str, expected: str
) -> None:
    states = {"old": "success", "middle": middle, "later": "success"}
    with database.engine.begin() as connection:
        for name, state in states.items():
            row = update(tables.dag_run).where(tables.dag_run.c.run_id == name)
            connection.execute(row.values(state=state, end_date=NOW, start_date=NOW, note=name))
        row = update(tables.dag_run).where(tables.dag_run.c.run_id == expected)
        connection.execute(row.values(start_date=parse_iso("2025-06-01T00:00:00")))
    dates = gateway.get_previous_run("me", "token-me")
    assert dates["start_date"] == "2025-06-01T00:00:00.000000+00:00"
    with pytest.raises(TaskGone):
        gateway.get_previous_run("me", "another")


def test_a_dag_without_a_run_that_succeeded_has_no_previous_one(gateway: ReadGateway) -> None:
    assert gateway.get_previous_run("me", "token-me") == {}
