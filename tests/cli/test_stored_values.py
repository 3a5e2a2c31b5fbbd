import json
import stat
from pathlib import Path
from typing import Any

import pytest


def test_a_variable_is_set_read_listed_and_deleted(program: Any) -> None:
    program.ok("variables", "set", "city", "Zürich", "--description", "where we are")

    assert program.ok("variables", "get", "city") == "Zürich\n"
    (row,) = program.json("variables", "list")
    assert (row["key"], row["description"], "value" in row) == ("city", "where we are", False)
    program.ok("variables", "delete", "city")
    assert program.json("variables", "list") == []


def test_a_missing_variable_names_the_nearest_unless_there_is_a_default(program: Any) -> None:
    program.ok("variables", "set", "city", "Zürich")

    assert program.refused("variables", "get", "citi") == (
        "clockmill: There is no variable 'citi'. Did you mean 'city'?"
    )
    assert program.ok("variables", "get", "citi", "--default", "Bern") == "Bern\n"


def test_a_json_variable_is_checked_and_printed_indented(program: Any) -> None:
    assert "is not valid JSON" in program.refused("variables", "set", "--json", "n", "{", status=2)

    program.ok("variables", "set", "--json", "n", '{"a": 1}')

    assert program.ok("variables", "get", "--json", "n") == '{\n  "a": 1\n}\n'


def test_variables_are_exported_with_their_values_only_when_asked_and_come_back(program: Any, tmp_path: Path) -> None:
    program.ok("variables", "set", "token", "hush")
    file = tmp_path / "variables.json"

    masked = program.ok("variables", "export", "-")
    result = program("variables", "export", str(file), "--show-secrets")
    program.ok("variables", "delete", "token")
    program.ok("variables", "import", str(file))

    assert json.loads(masked) == {"token": "***"}
    assert "holds secrets in plain text" in result.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert program.ok("variables", "get", "token") == "hush\n"


@pytest.mark.parametrize(("action", "value"), [("overwrite", "new\n"), ("skip", "old\n")])
def test_an_import_overwrites_or_skips_what_is_there(program: Any, action: str, value: str) -> None:
    program.ok("variables", "set", "a", "old")

    program.ok("variables", "import", "-", "-a", action, stdin='{"a": "new", "b": "2"}')

    assert program.ok("variables", "get", "a") == value
    assert program.ok("variables", "get", "b") == "2\n"


def test_an_import_that_may_not_overwrite_changes_nothing(program: Any) -> None:
    program.ok("variables", "set", "a", "old")

    line = program.refused("variables", "import", "-", "-a", "fail", stdin='{"a": "new", "b": "2"}')

    assert line.endswith("so nothing was imported: a.")
    assert [row["key"] for row in program.json("variables", "list")] == ["a"]


@pytest.mark.parametrize("group", ["variables", "connections"])
def test_a_masked_export_does_not_overwrite_secrets(program: Any, group: str) -> None:
    program.ok("variables", "set", "x", "secret")
    program.ok("connections", "set", "x", "--conn-uri", "http://me:secret@host")

    masked = program.ok(group, "export", "-")

    assert "secret" not in masked
    assert "export with --show-secrets" in program.refused(group, "import", "-", stdin=masked)


def test_a_connection_is_masked_unless_its_secrets_are_asked_for(program: Any) -> None:
    program.ok("connections", "set", "db", "--conn-uri", "postgres://me:hush@host:5432/sales?sslmode=require")

    masked = program.json("connections", "get", "db")
    shown = program.json("connections", "get", "db", "--show-secrets")

    assert (masked["host"], masked["port"], masked["login"], masked["schema"]) == ("host", 5432, "me", "sales")
    assert (masked["password"], masked["extra"]) == ("***", {"sslmode": "***"})
    assert (shown["password"], shown["extra"]) == ("hush", {"sslmode": "require"})
    assert "hush" not in program.ok("connections", "list", "--output", "json")


def test_a_field_of_a_connection_is_changed_and_the_others_stay(program: Any) -> None:
    program.ok("connections", "set", "db", "--conn-uri", "postgres://me:hush@host/sales")

    program.ok("connections", "set", "db", "--conn-host", "elsewhere")

    shown = program.json("connections", "get", "db", "--show-secrets")
    assert (shown["host"], shown["password"], shown["schema"]) == ("elsewhere", "hush", "sales")


def test_a_password_is_read_from_standard_input(program: Any) -> None:
    program.ok("connections", "set", "db", "--conn-type", "http", "--conn-password", "-", stdin="hush\n")

    assert program.json("connections", "get", "db", "--show-secrets")["password"] == "hush"


@pytest.mark.parametrize("arguments", [[], ["--conn-uri", "http://a", "--conn-host", "b"], ["--conn-extra", "[1]"]])
def test_a_connection_is_given_in_exactly_one_way(program: Any, arguments: list[str]) -> None:
    program.refused("connections", "set", "db", *arguments, status=2)


def test_a_pool_is_set_listed_with_its_usage_and_deleted(program: Any) -> None:
    program.ok("pools", "set", "api", "3", "calls to the API")

    rows = {row["name"]: row for row in program.json("pools", "list")}

    assert rows["api"] == {
        "name": "api",
        "slots": 3,
        "used": 0,
        "open": 3,
        "include_deferred": False,
        "description": "calls to the API",
    }
    assert program.json("pools", "get", "api") == rows["api"]
    program.ok("pools", "delete", "api")
    assert "Did you mean" not in program.refused("pools", "get", "api")


def test_pools_come_back_from_an_export(program: Any, tmp_path: Path) -> None:
    program.ok("pools", "set", "api", "3")
    file = str(tmp_path / "pools.json")
    program.ok("pools", "export", file)
    program.ok("pools", "set", "api", "9")

    program.ok("pools", "import", file)

    assert program.json("pools", "get", "api")["slots"] == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", "is not valid JSON"),
        ('{"api": 3}', "must hold one JSON object"),
        ('{"api": {"slots": "3"}}', "must be a whole number"),
        ('{"api": {"slots": 3, "slts": 3}}', "Did you mean 'slots'?"),
    ],
)
def test_a_bad_file_of_pools_is_one_clear_line(program: Any, text: str, told: str) -> None:
    assert told in program.refused("pools", "import", "-", stdin=text)


@pytest.mark.parametrize("group", ["variables", "connections", "pools"])
def test_a_file_that_is_not_there_is_one_clear_line(program: Any, group: str, tmp_path: Path) -> None:
    assert program.refused(group, "import", str(tmp_path / "none.json")).endswith(
        "cannot be read: No such file or directory."
    )
