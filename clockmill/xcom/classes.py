"""Objects of the author's own classes: enums, named tuples, dataclasses, pydantic models.

An object is written as the place of its class and its fields. Reading it looks the class up, makes an empty object
and sets the fields: no ``__init__`` and no validator runs, so what comes back is what was stored.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from functools import reduce
from importlib import import_module
from typing import Any

from clockmill.errors import SerializationError
from clockmill.xcom.walk import TAG, Reader, Writer


def encode(value: Any, writer: Writer) -> dict[str, Any] | None:
    """The object as a tagged dictionary, or None when it is of no kind that we know."""
    for tag, kind in _KINDS.items():
        if kind.accepts(type(value)):
            return {TAG: tag, "class": _place_of(type(value), writer), "value": kind.write(value, writer)}
    return None


def decode(tag: str, data: Mapping[str, Any], reader: Reader) -> Any:
    """The object that :func:`encode` wrote."""
    found = reader.find_class(data["class"])
    kind = _KINDS[tag]
    if not kind.accepts(found):
        raise SerializationError(f"The class {data['class']!r} is no {tag} any more.")
    return kind.read(found, data["value"], reader)


def find(name: str) -> type:
    """The class at ``module:qualified name``.

    :raises SerializationError: when it is not there.
    """
    module, _, qualname = name.partition(":")
    try:
        found: Any = reduce(getattr, qualname.split("."), _module(module))
    except (ImportError, AttributeError, ValueError) as error:
        raise SerializationError(f"The value needs the class {name!r}, which is not there: {error}") from error
    if not isinstance(found, type):
        raise SerializationError(f"The value needs the class {name!r}, which is no class.")
    return found


def _module(name: str) -> Any:
    # A DAG file is in sys.modules under a name of its own, which the import system could not find.
    return sys.modules.get(name) or import_module(name)


def _place_of(kind: type, writer: Writer) -> str:
    name = f"{kind.__module__}:{kind.__qualname__}"
    try:
        same = find(name) is kind
    except SerializationError:
        same = False
    if not same:
        writer.fail(
            f"the class {kind.__qualname__!r} cannot be found again under its name in {kind.__module__!r}; "
            "define it at the top level of a module."
        )
    return name


def _write_enum(member: Any, writer: Writer) -> Any:
    # A combination of flags has no name of its own, only a number.
    return {"name": member.name} if member.name in type(member).__members__ else {"flags": member.value}


def _read_enum(found: Any, body: Any, reader: Reader) -> Any:
    return found[body["name"]] if "name" in body else found(body["flags"])


def _write_namedtuple(value: Any, writer: Writer) -> Any:
    return {name: writer.field(name, item) for name, item in zip(value._fields, value, strict=True)}


def _read_namedtuple(found: Any, body: Any, reader: Reader) -> Any:
    return tuple.__new__(found, [reader.decode(body[name]) for name in found._fields])


def _write_dataclass(value: Any, writer: Writer) -> Any:
    names = [field.name for field in dataclasses.fields(value) if hasattr(value, field.name)]
    return {name: writer.field(name, getattr(value, name)) for name in names}


def _read_dataclass(found: Any, body: Any, reader: Reader) -> Any:
    value = object.__new__(found)
    for name, item in body.items():
        object.__setattr__(value, name, reader.decode(item))
    return value


_MODEL_PARTS = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


def _is_model(kind: type) -> bool:
    # Whoever holds a model has imported pydantic; nobody else pays for it.
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and issubclass(kind, pydantic.BaseModel)


def _write_model(value: Any, writer: Writer) -> Any:
    fields, fields_set, extra, private = (getattr(value, part) for part in _MODEL_PARTS)
    body: dict[str, Any] = {"fields": _write_names(fields, writer), "set": sorted(fields_set)}
    if extra:
        body["extra"] = _write_names(extra, writer)
    if private:
        body["private"] = _write_names(private, writer)
    return body


def _write_names(values: Mapping[str, Any], writer: Writer) -> dict[str, Any]:
    return {name: writer.field(name, item) for name, item in values.items()}


def _read_model(found: Any, body: Any, reader: Reader) -> Any:
    def names(part: str) -> dict[str, Any]:
        return {name: reader.decode(item) for name, item in body.get(part, {}).items()}

    empty = found.model_construct()
    extra = names("extra") if empty.__pydantic_extra__ is not None else None
    private = names("private") if empty.__pydantic_private__ is not None else None
    value = found.__new__(found)
    value.__setstate__(dict(zip(_MODEL_PARTS, (names("fields"), set(body["set"]), extra, private), strict=True)))
    return value


@dataclasses.dataclass(frozen=True)
class _Kind:
    accepts: Callable[[type], bool]
    write: Callable[[Any, Writer], Any]
    read: Callable[[Any, Any, Reader], Any]


_KINDS: Mapping[str, _Kind] = {
    "enum": _Kind(lambda kind: issubclass(kind, Enum), _write_enum, _read_enum),
    "namedtuple": _Kind(
        lambda kind: issubclass(kind, tuple) and hasattr(kind, "_fields"), _write_namedtuple, _read_namedtuple
    ),
    "dataclass": _Kind(dataclasses.is_dataclass, _write_dataclass, _read_dataclass),
    "pydantic": _Kind(_is_model, _write_model, _read_model),
}

TAGS = frozenset(_KINDS)
