"""The fields of the trigger form, made from the JSON schemas of a DAG's parameters, and what was typed into them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from clockmill.model.param import NO_DEFAULT
from clockmill.serde import ParamDoc

PREFIX = "param."


class FieldKind(StrEnum):
    """How a parameter is asked for."""

    TEXT = "text"
    LINES = "lines"  #: several lines of text
    CHOICE = "choice"  #: one of the values of an ``enum``
    FLAG = "flag"
    NUMBER = "number"
    DATE = "date"
    LIST = "list"  #: one text a line
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamField:
    """One parameter in the form.

    :param text: what stands in it.
    :param choices: the texts to choose from, and what people read for each.
    :param problems: what is wrong with the value that was given.
    """

    name: str
    title: str
    description: str
    section: str
    kind: FieldKind
    text: str
    choices: tuple[tuple[str, str], ...]
    is_required: bool
    hint: str
    problems: tuple[str, ...]

    @property
    def field_name(self) -> str:
        """Its name in the form."""
        return f"{PREFIX}{self.name}"

    @property
    def rows(self) -> int:
        """How many lines of it are shown."""
        return min(max(3, self.text.count("\n") + 1), 12)


def fields_for(
    params: Iterable[ParamDoc], typed: Mapping[str, str], problems: Mapping[str, list[str]]
) -> list[ParamField]:
    """The form for parameters, by section in the order in which the file has them.

    :param typed: what was typed before, by name of the parameter; the defaults where it is empty.
    :param problems: what is wrong with it, by name.
    """
    fields = [_field(param, typed, tuple(problems.get(param.name, ()))) for param in params]
    sections = {field.section: None for field in fields}
    return [field for section in sections for field in fields if field.section == section]


def conf_from(params: Iterable[ParamDoc], typed: Mapping[str, str]) -> dict[str, Any]:
    """The values that were typed and differ from the defaults, each of the type that its schema asks for.

    What cannot be read as that type is passed on as text: the check of the schema says what is wrong with it.
    """
    values = {}
    for param in params:
        value = _value_of(param, typed.get(param.name, ""))
        if value is not NO_DEFAULT and not _same(value, param.default):
            values[param.name] = value
    return values


def _field(param: ParamDoc, typed: Mapping[str, str], problems: tuple[str, ...]) -> ParamField:
    schema = param.schema
    kind = kind_of(param)
    return ParamField(
        name=param.name,
        title=str(schema.get("title") or param.name),
        description=param.description or str(schema.get("description_md") or ""),
        section=str(schema.get("section") or ""),
        kind=kind,
        text=typed[param.name] if param.name in typed else _text_of(kind, param.default),
        choices=_choices(schema),
        is_required=param.default is NO_DEFAULT,
        hint=_hint(schema),
        problems=problems,
    )


def kind_of(param: ParamDoc) -> FieldKind:
    """How a parameter is asked for."""
    schema, kinds = param.schema, _types(param)
    if "enum" in schema:
        return FieldKind.CHOICE
    if kinds <= {"boolean"} and kinds:
        return FieldKind.FLAG
    if kinds & {"integer", "number"} and kinds <= {"integer", "number", "null"}:
        return FieldKind.NUMBER
    if kinds & {"string"} and kinds <= {"string", "null"}:
        return _kind_of_text(param)
    if kinds == {"array"} and (schema.get("items") or {}).get("type") == "string":
        return FieldKind.LIST
    return FieldKind.JSON


def _kind_of_text(param: ParamDoc) -> FieldKind:
    form = param.schema.get("format")
    if form == "date":
        return FieldKind.DATE
    is_long = form == "multiline" or (isinstance(param.default, str) and "\n" in param.default)
    return FieldKind.LINES if is_long else FieldKind.TEXT


_JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def _types(param: ParamDoc) -> set[str]:
    """The JSON types that a parameter may have; without a schema, that of its default."""
    given = param.schema.get("type")
    if isinstance(given, str):
        return {given}
    if isinstance(given, list):
        return set(given)
    guess = _JSON_TYPES.get(type(param.default))
    return {guess} if guess else set()


def _choices(schema: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    shown = schema.get("values_display") or {}
    return tuple((json.dumps(value), str(shown.get(str(value), value))) for value in schema.get("enum") or ())


def _hint(schema: Mapping[str, Any]) -> str:
    """The bounds of a value, for people."""
    words = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "pattern": "like {}",
        "format": "a {}",
    }
    return ", ".join(text.format(schema[name]) for name, text in words.items() if name in schema)


def _text_of(kind: FieldKind, value: Any) -> str:
    if value is NO_DEFAULT or (value is None and kind is not FieldKind.JSON):
        return ""
    if kind is FieldKind.LIST and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value)
    if isinstance(value, str) and kind not in (FieldKind.CHOICE, FieldKind.JSON):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2 if kind is FieldKind.JSON else None)


def _value_of(param: ParamDoc, text: str) -> Any:
    kind, kinds = kind_of(param), _types(param)
    text = text.replace("\r\n", "\n")
    match kind:
        case FieldKind.FLAG:
            return text == "true"
        case FieldKind.LIST:
            return [line for line in text.split("\n") if line.strip()]
        case FieldKind.TEXT | FieldKind.LINES | FieldKind.DATE if text or not _may_be_empty(kind, param):
            return text
    if not text.strip():
        return None if "null" in kinds else NO_DEFAULT
    return text if kind in (FieldKind.TEXT, FieldKind.LINES, FieldKind.DATE) else _read_json(text)


def _may_be_empty(kind: FieldKind, param: ParamDoc) -> bool:
    """Whether an empty field of text says that there is no value, rather than that the value is an empty text."""
    return kind is FieldKind.DATE or "null" in _types(param) or param.default is NO_DEFAULT


def _read_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: name)
    except (ValueError, RecursionError):
        return text


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
