"""From the text of a document to records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from clockmill.clock import parse_iso_or_none
from clockmill.errors import SerializationError
from clockmill.serde.document import SCHEMA_VERSION, Document, GroupDoc, ParamDoc, TaskDoc
from clockmill.state import TriggerRule


def decode(text: str | bytes) -> Document:
    """The document that ``dumps(encode(dag))`` wrote. Nothing in it is executed.

    :raises SerializationError: when it is no DAG document, or one of a newer program.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SerializationError(f"This is not a DAG document: {error}.") from None
    if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
        raise SerializationError("This is not a DAG document: it has no schema version.")
    if data["schema"] > SCHEMA_VERSION:
        raise SerializationError(
            f"The document of DAG {data.get('dag_id')!r} was written by a newer Clockmill (schema {data['schema']}; "
            f"this one reads up to {SCHEMA_VERSION}). Upgrade Clockmill here too."
        )
    try:
        return _document(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SerializationError(f"The document of DAG {data.get('dag_id')!r} is damaged: {error!r}.") from None


def _document(data: Mapping[str, Any]) -> Document:
    return Document(
        **{
            **_known(Document, data),
            "tags": tuple(data["tags"]),
            "start_date": parse_iso_or_none(data["start_date"]),
            "end_date": parse_iso_or_none(data["end_date"]),
            "params": _params(data["params"]),
            "tasks": tuple(_task(task) for task in data["tasks"]),
            "groups": tuple(GroupDoc(**_known(GroupDoc, group)) for group in data["groups"]),
            "callbacks": tuple(data.get("callbacks", ())),
            "deadlines": tuple(data.get("deadlines", ())),
            "allowed_run_types": None if (types := data.get("allowed_run_types")) is None else tuple(types),
        }
    )


def _task(data: Mapping[str, Any]) -> TaskDoc:
    return TaskDoc(
        **{
            **_known(TaskDoc, data),
            "upstream": tuple(data["upstream"]),
            "trigger_rule": TriggerRule(data["trigger_rule"]),
            "start_date": parse_iso_or_none(data["start_date"]),
            "end_date": parse_iso_or_none(data["end_date"]),
            "params": _params(data["params"]),
            "callbacks": tuple(data.get("callbacks", ())),
        }
    )


def _params(data: Mapping[str, Any]) -> tuple[ParamDoc, ...]:
    params = (ParamDoc(name=name, **_known(ParamDoc, param)) for name, param in data.items())
    return tuple(sorted(params, key=lambda param: param.position))


def _known(record: type, data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that ``record`` has; a later program of the same schema may have added others."""
    names = {field.name for field in fields(record)}
    return {name: value for name, value in data.items() if name in names}
