"""Hostile schemas of parameters: a clear answer, in time, and nothing fetched."""

from __future__ import annotations

from typing import Any

import pytest

from clockmill.model.checking import problems_in_time
from clockmill.model.param import Param, ParamError, resolve_params


def test_a_pattern_that_would_take_years_is_given_up_and_told() -> None:
    with pytest.raises(ParamError, match="p: cannot be checked in time"):
        resolve_params({"p": Param("a", type="string", pattern="^(a+)+$")}, {"p": "a" * 60 + "!"})


@pytest.mark.parametrize(
    ("schema", "value", "problems"),
    [
        ({"type": "string", "pattern": "^(a|b)+$"}, "abba", []),
        ({"type": "string", "pattern": "^(a|b)+$"}, "abc", ["'abc' does not match '^(a|b)+$'"]),
        ({"pattern": r"^\d{4}-\d{2}$"}, "2026-1", [r"'2026-1' does not match '^\\d{4}-\\d{2}$'"]),
        ({"type": "array", "items": {"type": "integer"}}, [1, "x"], ["1 'x' is not of type 'integer'"]),
        ({"type": "object", "additionalProperties": False}, {}, []),
    ],
)
def test_what_is_wrong_is_the_same_wherever_it_is_checked(
    schema: dict[str, Any], value: Any, problems: list[str]
) -> None:
    assert problems_in_time(schema, value) == problems


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/x.json", "file:///etc/passwd", "#/nowhere"])
def test_a_reference_is_looked_up_in_the_schema_alone(reference: str) -> None:
    (problem,) = problems_in_time({"$ref": reference}, 1)
    assert problem.startswith("cannot be checked: its schema refers to")


def test_a_schema_that_refers_to_itself_is_told() -> None:
    assert problems_in_time({"$ref": "#"}, 1) == ["cannot be checked: its schema or the value goes too deep"]
