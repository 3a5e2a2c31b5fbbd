"""Checking the values of parameters where a hostile schema must not hold up a service.

A pattern with nested repeats, or references that fan out, can take years to check a short value. What may be slow is
checked by a program of its own, with a limit of processor time.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from clockmill.model.schemas import value_problems

#: Keywords that take no longer than it takes to read the value once.
_QUICK = {
    "const", "default", "description", "enum", "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "maximum",
    "maxItems", "maxLength", "maxProperties", "minimum", "minItems", "minLength", "minProperties", "multipleOf",
    "required", "title", "type", "values_display",
}  # fmt: skip
_CPU_SECONDS = 2
_WALL_SECONDS = 30.0
_LONGEST_MATCHED = 5_000
_EXACT_COUNT = re.compile(r"(?<!\))\{\d{1,4}\}")


def problems_in_time(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with ``value`` under ``schema``, one sentence each, after a few seconds at most."""
    if _is_quick(schema, value):
        return value_problems(schema, value)
    try:
        question = json.dumps([schema, value])
    except (TypeError, ValueError, RecursionError):
        return ["cannot be checked: it is no JSON value, or goes too deep"]
    command = [sys.executable, "-c", "from clockmill.model.checking import answer; answer()"]
    path = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(
            command, input=question, capture_output=True, text=True, timeout=_WALL_SECONDS, check=True,
            env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return ["cannot be checked in time: make its schema simpler, a pattern without repeats in repeats for example"]
    told: list[str] = json.loads(done.stdout)
    return told


def answer() -> None:
    """The program: a schema and a value on standard input, the problems on standard output."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    schema, value = json.load(sys.stdin)
    json.dump(value_problems(schema, value), sys.stdout)


def _is_quick(schema: Mapping[str, Any], value: Any) -> bool:
    for key, rule in schema.items():
        if key == "pattern":
            quick = _is_quick_pattern(rule, value)
        elif key == "items":
            quick = isinstance(rule, Mapping) and "pattern" not in rule and _is_quick(rule, None)
        else:
            quick = key in _QUICK
        if not quick:
            return False
    return True


def _is_quick_pattern(pattern: str, value: Any) -> bool:
    """Whether there is one choice at most in it, so that it cannot be made many times over."""
    if not isinstance(value, str):
        return True
    choices = sum(_EXACT_COUNT.sub("", pattern).count(sign) for sign in "*+?{|")
    return choices <= 1 and len(value) <= _LONGEST_MATCHED
