"""JSON schemas of parameters: whether one is right, and what is wrong with a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def value_problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with ``value`` under ``schema``, one sentence each."""
    if not schema:
        return []
    from jsonschema import Draft202012Validator, FormatChecker
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    # Of its own accord it would fetch what a reference names, wherever that is.
    validator = Draft202012Validator(schema, registry=Registry(), format_checker=FormatChecker())
    try:
        errors = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.path)))
    except Unresolvable as error:
        return [f"cannot be checked: its schema refers to {error.ref!r}, which it does not hold"]
    except RecursionError:
        return ["cannot be checked: its schema or the value goes too deep"]
    return [f"{'.'.join(map(str, error.path))} {error.message}".strip() for error in errors]


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """Why ``schema`` is no JSON schema, or None when it is one."""
    if not schema:
        return None
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error.message
    return None
