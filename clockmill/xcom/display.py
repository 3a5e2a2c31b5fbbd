"""What can be said of a stored XCom without loading it: how it looks, and how many elements it has.

Nothing here imports a class or a library, so the web server and the command line may call it on anything.
"""

from __future__ import annotations

import json
from typing import Any

from clockmill.errors import SerializationError
from clockmill.xcom.walk import TAG

_SEQUENCES = ("tuple", "set", "frozenset")


def to_display(text: str) -> Any:
    """The stored value as plain JSON data for people: tags are replaced by their readable content.

    :param text: what :func:`~clockmill.xcom.encode` wrote.
    :raises SerializationError: when it is no JSON, or nested too deep.
    """
    try:
        return _plain(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise SerializationError(f"This text is no stored XCom value: {error}") from error


def length(text: str) -> int | None:
    """The number of elements that the value has as a list or mapping, or None when it is neither.

    :param text: what :func:`~clockmill.xcom.encode` wrote.
    """
    if not text.startswith(("[", "{")):
        return None
    data = json.loads(text)
    if isinstance(data, dict) and TAG in data:
        return len(data["value"]) if data[TAG] in (*_SEQUENCES, "dict") else None
    return len(data)


def parts(text: str) -> list[Any] | None:
    """The elements that the value has as a list or mapping, as JSON data; those of a mapping are its pairs. None when
    it is neither.

    :param text: what :func:`~clockmill.xcom.encode` wrote.
    """
    data = json.loads(text)
    if not isinstance(data, dict):
        return data if isinstance(data, list) else None
    if TAG not in data:
        return [_pair(key, value) for key, value in data.items()]
    if data[TAG] == "dict":
        return [_pair(key, value) for key, value in data["value"]]
    found: list[Any] | None = data["value"] if data[TAG] in _SEQUENCES else None
    return found


def element(elements: list[Any] | None, index: int) -> str | None:
    """One of the :func:`parts` of a value, as text like that of a whole value; None when there is no such part."""
    if elements is None or not 0 <= index < len(elements):
        return None
    return json.dumps(elements[index], ensure_ascii=False, separators=(",", ":"))


def _pair(key: Any, value: Any) -> dict[str, Any]:
    return {TAG: "tuple", "value": [key, value]}


def _plain(data: Any) -> Any:
    if isinstance(data, list):
        return [_plain(item) for item in data]
    if not isinstance(data, dict):
        return data
    if TAG not in data:
        return {key: _plain(value) for key, value in data.items()}
    return _untagged(data[TAG], data)


def _untagged(tag: Any, data: dict[str, Any]) -> Any:
    body = data.get("value")
    if tag == "dict" and isinstance(body, list):
        return {_key(key): _plain(value) for key, value in body}
    if tag in ("datetime", "time") and isinstance(body, list):
        return f"{body[0]} {body[1]}" if body[1] else body[0]
    if tag == "int":
        return _integer(str(body))
    if tag == "enum" and isinstance(body, dict):
        return f"{str(data['class']).rpartition(':')[2]}.{next(iter(body.values()))}"
    if tag == "timedelta" and isinstance(body, list):
        return f"{body[0]} days {body[1] + body[2] / 1e6:g} seconds"
    return _plain(body) if set(data) <= {TAG, "value", "class"} else {TAG: tag, **_plain_rest(data)}


def _integer(text: str) -> int | str:
    # Python refuses to print more than some 4,300 digits.
    return int(text, 16) if len(text) < 3000 else text


def _plain_rest(data: dict[str, Any]) -> dict[str, Any]:
    return {key: _plain(value) for key, value in data.items() if key != TAG}


def _key(key: Any) -> str:
    plain = _plain(key)
    return plain if isinstance(plain, str) else json.dumps(plain)
