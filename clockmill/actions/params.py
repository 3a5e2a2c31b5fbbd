"""The parameters of a run: defaults from the DAG, values from ``conf``, checked against their JSON schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clockmill.errors import UsageError, did_you_mean
from clockmill.serde import Document


def check_conf(document: Document, conf: Mapping[str, Any]) -> None:
    """Hold ``conf`` against the parameters of a DAG.

    :raises UsageError: with every problem at once.
    """
    problems = [problem for name in document.params for problem in _problems(document, name, conf)]
    if problems:
        raise UsageError(f"The parameters of DAG {document.dag_id!r} do not fit: " + "; ".join(problems))


def _problems(document: Document, name: str, conf: Mapping[str, Any]) -> list[str]:
    from jsonschema import Draft202012Validator

    param = document.params[name]
    value = conf.get(name, param.default)
    if value is None and name not in conf:
        if not param.required:
            return []
        return [f"{name} is required and has no default{did_you_mean(name, conf.keys() - document.params.keys())}"]
    errors = Draft202012Validator(param.schema).iter_errors(value)
    return [f"{name}: {error.message}" for error in errors]
