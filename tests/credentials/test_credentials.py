from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.credentials import (
    ConnectionFields,
    FileFormat,
    VariableFields,
    connection_from_environment,
    file_format,
    format_connections,
    format_uri,
    format_variables,
    parse_connection,
    parse_connections,
    parse_uri,
    parse_variables,
    variable_from_environment,
)
from clockmill.errors import UsageError

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)
names = st.text(st.characters(categories=["L", "N"], include_characters="_-."), min_size=1, max_size=20)
json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | words, lambda inner: st.lists(inner) | st.dictionaries(words, inner)
)
connections_made = st.builds(
    ConnectionFields,
    conn_id=names,
    conn_type=st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True).filter(lambda kind: kind != "postgresql"),
    host=st.none() | words.filter(lambda host: not host.startswith("[") and not host.endswith("]")),
    port=st.none() | st.integers(0, 65535),
    schema=st.none() | words,
    login=st.none() | words,
    password=st.none() | words,
    extra=st.dictionaries(words, words) | st.dictionaries(words, json_values),
)
variables_made = st.lists(
    st.builds(VariableFields, key=names, value=words, description=words | st.just("")),
    unique_by=lambda v: v.key,
    max_size=5,
)
bounded = settings(derandomize=True, max_examples=40, deadline=None)


def test_a_uri_is_taken_apart() -> None:
    found = parse_uri("db", "postgresql://user:p%40ss%2Fword@db.example:5432/weather?sslmode=require&empty=")
    assert found == ConnectionFields(
        conn_id="db", conn_type="postgres", host="db.example", port=5432, schema="weather", login="user",
        password="p@ss/word", extra={"sslmode": "require", "empty": ""},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite://", {"conn_type": "sqlite"}),
        ("http://example.com", {"conn_type": "http", "host": "example.com"}),
        ("my-type://:secret@", {"conn_type": "my_type", "password": "secret"}),
        ("redis://[::1]:6379/0", {"conn_type": "redis", "host": "::1", "port": 6379, "schema": "0"}),
        ("x://u:pa@ss#1@h", {"conn_type": "x", "login": "u", "password": "pa@ss#1", "host": "h"}),
        ("x://?a=1", {"conn_type": "x", "extra": {"a": "1"}}),
        ('x://h?__extra__={"a": [1]}', {"conn_type": "x", "host": "h", "extra": {"a": [1]}}),
        ('{"conn_type": "x", "port": "1", "login": ""}', {"conn_type": "x", "port": 1}),
        ('{"conn_type": "x", "extra": {"a": 1}}', {"conn_type": "x", "extra": {"a": 1}}),
        ('{"conn_type": "x", "extra": "{\\"a\\": 1}"}', {"conn_type": "x", "extra": {"a": 1}}),
    ],
)
def test_connections_are_written_in_many_ways(uri: str, expected: dict[str, Any]) -> None:
    assert parse_connection("c", uri) == ConnectionFields(conn_id="c", **expected)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3cret", "'c' must be a URI such as postgres://"),
        ("x://s3cret:s3cret@h:s3cret", "port of the connection 'c' must be a number"),
        ("x://h:99999", "from 0 to 65535, not 99999"),
        ("x://h?__extra__=s3cret", "must be a JSON object"),
        ('{"hots": "x"}', r"has no field 'hots'. Did you mean 'host'\?"),
        ('{"host": ["x"]}', "field 'host' of the connection 'c' must be text"),
        ('{"extra": 1}', "field 'extra' of the connection 'c' must be an object"),
        ('{"extra": "[]"}', "field 'extra' of the connection 'c' must be an object"),
        ('{"port": true}', "must be a number, not True"),
        ("{", "not valid JSON"),
    ],
)
def test_a_bad_connection_says_what_is_wrong(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_connection("c", uri)


@bounded
@given(connections_made)
def test_a_connection_survives_its_uri(connection: ConnectionFields) -> None:
    assert parse_uri(connection.conn_id, format_uri(connection)) == connection


@bounded
@given(st.lists(connections_made, unique_by=lambda c: c.conn_id, max_size=3), st.sampled_from(FileFormat))
def test_connections_survive_a_file(connections: list[ConnectionFields], kind: FileFormat) -> None:
    assert parse_connections(format_connections(connections, kind), kind) == connections


@bounded
@given(variables_made, st.sampled_from([FileFormat.JSON, FileFormat.YAML]))
def test_variables_survive_a_file(variables: list[VariableFields], kind: FileFormat) -> None:
    assert parse_variables(format_variables(variables, kind), kind) == variables


@bounded
@given(variables_made)
def test_the_values_of_variables_survive_an_env_file(variables: list[VariableFields]) -> None:
    found = parse_variables(format_variables(variables, FileFormat.ENV), FileFormat.ENV)
    assert [(v.key, v.value) for v in found] == [(v.key, v.value) for v in variables]


def test_values_that_are_not_text_are_kept_as_json() -> None:
    found = parse_variables('{"a": {"x": [1, true]}, "b": {"value": 5, "description": "five"}}', FileFormat.JSON)
    assert found == [
        VariableFields(key="a", value='{"x": [1, true]}'),
        VariableFields(key="b", value="5", description="five"),
    ]


def test_env_files_have_comments_and_blank_lines() -> None:
    found = parse_variables("# what\n\na = 1 = 2\nb=\n", FileFormat.ENV)
    assert [(v.key, v.value) for v in found] == [("a", "1 = 2"), ("b", "")]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("[]", FileFormat.JSON, "must hold one object"),
        ("{", FileFormat.JSON, "not valid JSON"),
        ('{"a": 1, "a": 2}', FileFormat.JSON, "names 'a' twice"),
        ("a: [", FileFormat.YAML, "not valid YAML"),
        ("1: x", FileFormat.YAML, "must hold one object"),
        ("a: 2026-01-01", FileFormat.YAML, "value of the variable 'a' is no text and nothing that JSON knows"),
        ("a", FileFormat.ENV, "Line 1 of the file is not name=value"),
        ('a="x', FileFormat.ENV, "quotes in line 1"),
        ("a=1\na=2", FileFormat.ENV, "names 'a' twice"),
    ],
)
def test_a_bad_file_says_what_is_wrong(text: str, kind: FileFormat, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_variables(text, kind)


def test_a_yaml_file_cannot_run_code() -> None:
    with pytest.raises(UsageError, match="not valid YAML"):
        parse_variables("a: !!python/object/apply:os.system ['true']", FileFormat.YAML)


def test_the_suffix_says_how_a_file_is_written() -> None:
    assert file_format(Path("x.yml")) is FileFormat.YAML
    assert file_format(Path(".env")) is FileFormat.ENV
    with pytest.raises(UsageError, match=r"must end in \.json"):
        file_format(Path("x.txt"))


def test_the_environment_gives_variables_and_connections() -> None:
    environ = {"CLOCKMILL_VAR_TOWN": "Zug", "CLOCKMILL_CONN_DB": "sqlite://h"}
    assert variable_from_environment("town", environ) == "Zug"
    assert variable_from_environment("city", environ) is None
    assert connection_from_environment("db", environ) == ConnectionFields(conn_id="db", conn_type="sqlite", host="h")
    assert connection_from_environment("other", environ) is None


def test_a_masked_connection_shows_no_secret() -> None:
    masked = ConnectionFields(conn_id="c", login="me", password="s3cret", extra={"token": "s3cret"}).masked()
    assert masked.login == "me"
    assert "s3cret" not in repr(masked)
