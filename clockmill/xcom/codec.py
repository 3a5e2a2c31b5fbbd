"""XCom values as JSON text, exactly there and back.

What JSON knows stays as it is. Everything else becomes an object with the key ``__type__``, whose value says how to
read the rest::

    {"__type__": "datetime", "value": "2026-01-31T06:00:00+00:00"}

A dictionary of the user that has that key itself is written as pairs, so nobody can forge a tag. There is no pickle
and no constructor call: classes are only looked up, only when the reader allows it, and only filled field by field.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from clockmill.errors import SerializationError, XComTooLarge
from clockmill.xcom import classes, scalars
from clockmill.xcom.lazy import LazySequence
from clockmill.xcom.walk import TAG

MAX_DEPTH = 100
#: Larger integers are written in hexadecimal: many readers of JSON keep 64 bits, and Python limits decimal digits.
MAX_PLAIN_INT = 1 << 63

_ITEM = "[{!r}]"
_FIELD = ".{}"


def encode(value: Any) -> str:
    """``value`` as JSON text.

    :raises SerializationError: names the type that cannot be stored and where in the value it sits.
    """
    return json.dumps(Encoder().encode(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def decode(text: str, *, allow_classes: bool = False) -> Any:
    """The value that :func:`encode` wrote.

    :param allow_classes: whether dataclasses, enums, named tuples and pydantic models may be looked up, which imports
        their modules. Only a task process allows it.
    :raises SerializationError: when the text was not written by :func:`encode`, or needs a class that is not allowed
        or no longer there.
    """
    try:
        return Decoder(allow_classes).decode(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SerializationError(f"This text is no stored XCom value: {type(error).__name__}: {error}") from error


def check_size(key: str, text: str, limit: int) -> None:
    """Refuse a value that is too large to be stored.

    :param text: the value as JSON text.
    :param limit: ``[core] max_xcom_bytes``.
    :raises XComTooLarge: says how large it is, how large it may be, and what to do.
    """
    size = len(text.encode())
    if size > limit:
        raise XComTooLarge(
            f"The XCom {key!r} takes {size:,} bytes; [core] max_xcom_bytes allows {limit:,}. Write the data to a file "
            "or a table and return its name, or raise the limit."
        )


class Encoder:
    """Turns one value into what JSON knows and remembers where it is, for the error that names the place."""

    def __init__(self) -> None:
        self._path: list[tuple[str, Any]] = []

    def encode(self, value: Any) -> Any:
        """``value`` as dictionaries, lists and scalars that JSON knows."""
        kind = type(value)
        handler = _PLAIN.get(kind)
        return handler(self, value) if handler else self._special(kind, value)

    def item(self, key: Any, value: Any) -> Any:
        """Encode what is found under ``value[key]``."""
        return self._child((_ITEM, key), value)

    def field(self, name: str, value: Any) -> Any:
        """Encode what is found under ``value.name``."""
        return self._child((_FIELD, name), value)

    def fail(self, problem: str) -> NoReturn:
        """Give up on the value at hand."""
        place = "value" + "".join(form.format(key) for form, key in self._path[:20])
        raise SerializationError(f"{place}: {problem}")

    def _child(self, step: tuple[str, Any], value: Any) -> Any:
        self._path.append(step)
        if len(self._path) > MAX_DEPTH:
            self.fail(f"the value is nested more than {MAX_DEPTH} levels deep, or contains itself.")
        encoded = self.encode(value)
        self._path.pop()
        return encoded

    def _special(self, kind: type, value: Any) -> Any:
        to_json = scalars.ENCODERS.get(f"{kind.__module__}.{kind.__qualname__}")
        if to_json:
            tag, body = to_json(value)
            return {TAG: tag, "value": self.field("value", body) if isinstance(body, str) else body}
        if kind.__module__.partition(".")[0] in ("numpy", "pandas"):
            from clockmill.xcom import frames

            return frames.encode(value, self)
        if isinstance(value, LazySequence):
            return _encode_list(self, list(value))
        return classes.encode(value, self) or self.fail(_advice(value))


class Decoder:
    """Turns what :class:`Encoder` made back into the value.

    :param allow_classes: see :func:`decode`.
    """

    def __init__(self, allow_classes: bool) -> None:
        self._allow_classes = allow_classes

    def decode(self, data: Any) -> Any:
        """The value for ``data``, as read from JSON."""
        if isinstance(data, list):
            return [self.decode(item) for item in data]
        if not isinstance(data, dict):
            return data
        if TAG not in data:
            return {key: self.decode(value) for key, value in data.items()}
        return self._tagged(data[TAG], data)

    def find_class(self, name: str) -> type:
        """The class that was written as ``module:qualified name``.

        :raises SerializationError: when this reader may not import classes, or there is no such class.
        """
        if not self._allow_classes:
            raise SerializationError(f"The value holds an object of the class {name!r}; only a task may load it.")
        return classes.find(name)

    def _tagged(self, tag: str, data: dict[str, Any]) -> Any:
        if own := _READERS.get(tag):
            return own(self, data["value"])
        if from_json := scalars.DECODERS.get(tag):
            body = data["value"]
            return from_json(self.decode(body) if isinstance(body, dict) and TAG in body else body)
        if tag in classes.TAGS:
            return classes.decode(tag, data, self)
        if tag.startswith(("numpy.", "pandas.")):
            from clockmill.xcom import frames

            return frames.decode(tag, data, self)
        raise SerializationError(f"The value has the unknown type tag {tag!r}; a newer version may have written it.")


def _advice(value: Any) -> str:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
    for base in (dict, list, tuple, set, str, bytes, int, float):
        if isinstance(value, base):
            return f"the type {name!r} cannot be stored exactly; return {base.__name__}(...) of it instead."
    return (
        f"the type {name!r} cannot be stored as an XCom. Return JSON values, dates, dataclasses or pydantic models, or "
        "write the data to a file and return its path."
    )


def _encode_str(encoder: Encoder, value: str) -> Any:
    # Half of a surrogate pair has no UTF-8 form, and escaped in JSON two halves would come back as one character.
    try:
        value.encode()
    except UnicodeEncodeError:
        return {TAG: "str", "value": value.encode("utf-8", "surrogatepass").hex()}
    return value


def _encode_int(encoder: Encoder, value: int) -> Any:
    return value if -MAX_PLAIN_INT <= value < MAX_PLAIN_INT else {TAG: "int", "value": hex(value)}


def _encode_float(encoder: Encoder, value: float) -> Any:
    finite = value == value and abs(value) != float("inf")
    return value if finite else {TAG: "float", "value": repr(value)}


def _encode_list(encoder: Encoder, value: list[Any]) -> Any:
    return [encoder.item(index, item) for index, item in enumerate(value)]


def _encode_tuple(encoder: Encoder, value: tuple[Any, ...]) -> Any:
    return {TAG: "tuple", "value": [encoder.item(index, item) for index, item in enumerate(value)]}


def _encode_dict(encoder: Encoder, value: dict[Any, Any]) -> Any:
    if all(type(key) is str and isinstance(_encode_str(encoder, key), str) for key in value) and TAG not in value:
        return {key: encoder.item(key, item) for key, item in value.items()}
    return {TAG: "dict", "value": [[encoder.encode(key), encoder.item(key, item)] for key, item in value.items()]}


def _encode_set(encoder: Encoder, value: set[Any] | frozenset[Any]) -> Any:
    # The order of a set differs from process to process; sorted by their text, equal sets have equal text.
    members = [encoder.item(item, item) for item in value]
    return {TAG: type(value).__name__, "value": sorted(members, key=lambda m: json.dumps(m, sort_keys=True))}


_PLAIN: Mapping[type, Callable[[Encoder, Any], Any]] = {
    type(None): lambda encoder, value: value,
    bool: lambda encoder, value: value,
    int: _encode_int,
    float: _encode_float,
    str: _encode_str,
    list: _encode_list,
    tuple: _encode_tuple,
    dict: _encode_dict,
    set: _encode_set,
    frozenset: _encode_set,
}

_READERS: Mapping[str, Callable[[Decoder, Any], Any]] = {
    "str": lambda decoder, body: bytes.fromhex(body).decode("utf-8", "surrogatepass"),
    "int": lambda decoder, body: int(body, 16),
    "float": lambda decoder, body: float(body),
    "tuple": lambda decoder, body: tuple(decoder.decode(body)),
    "set": lambda decoder, body: set(decoder.decode(body)),
    "frozenset": lambda decoder, body: frozenset(decoder.decode(body)),
    "dict": lambda decoder, body: {decoder.decode(key): decoder.decode(value) for key, value in body},
}
