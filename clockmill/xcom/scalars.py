"""Values of the standard library that have a short text: dates, decimals, UUIDs, bytes, paths.

The types are looked up by name, so that a program which never saw a ``Decimal`` does not import ``decimal``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, tzinfo
from importlib import import_module
from typing import Any

Encoded = tuple[str, Any]


def _zone_of(zone: tzinfo | None) -> str | None:
    """The key of a ``ZoneInfo``; other zones are kept by their offset at the instant."""
    return getattr(zone, "key", None) if type(zone).__module__.startswith("zoneinfo") else None


def _encode_moment(tag: str, moment: datetime | time) -> Encoded:
    zone = _zone_of(moment.tzinfo)
    text = moment.replace(tzinfo=None).isoformat() if zone else moment.isoformat()
    return tag, [text, zone, moment.fold] if zone or moment.fold else text


def _decode_moment(kind: type[datetime] | type[time], body: Any) -> datetime | time:
    if isinstance(body, str):
        return kind.fromisoformat(body)
    text, zone, fold = body
    moment = kind.fromisoformat(text).replace(fold=fold)
    return moment.replace(tzinfo=import_module("zoneinfo").ZoneInfo(zone)) if zone else moment


def _encode_timedelta(value: timedelta) -> Encoded:
    return "timedelta", [value.days, value.seconds, value.microseconds]


def _encode_bytes(value: bytes | bytearray) -> Encoded:
    return type(value).__name__, base64.b64encode(value).decode()


def _as_text(tag: str) -> Callable[[Any], Encoded]:
    return lambda value: (tag, str(value))


def _class(module: str, name: str) -> Callable[[Any], Any]:
    return lambda body: getattr(import_module(module), name)(body)


_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")

#: type name -> function that gives the tag and the JSON body.
ENCODERS: Mapping[str, Callable[[Any], Encoded]] = {
    "datetime.datetime": lambda value: _encode_moment("datetime", value),
    "datetime.time": lambda value: _encode_moment("time", value),
    "datetime.date": lambda value: ("date", value.isoformat()),
    "datetime.timedelta": _encode_timedelta,
    "decimal.Decimal": _as_text("decimal"),
    "uuid.UUID": _as_text("uuid"),
    "builtins.bytes": _encode_bytes,
    "builtins.bytearray": _encode_bytes,
    "builtins.complex": lambda value: ("complex", [repr(value.real), repr(value.imag)]),
    # Python 3.13 keeps the classes in a private module.
    **{f"{module}.{name}": _as_text(name) for module in ("pathlib", "pathlib._local") for name in _PATHS},
}

#: tag -> function that gives the value for the JSON body.
DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "datetime": lambda body: _decode_moment(datetime, body),
    "time": lambda body: _decode_moment(time, body),
    "date": date.fromisoformat,
    "timedelta": lambda body: timedelta(*body),
    "decimal": _class("decimal", "Decimal"),
    "uuid": _class("uuid", "UUID"),
    "bytes": base64.b64decode,
    "bytearray": lambda body: bytearray(base64.b64decode(body)),
    "complex": lambda body: complex(float(body[0]), float(body[1])),
    **{name: _class("pathlib", name) for name in _PATHS},
}
