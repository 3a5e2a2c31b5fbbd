"""A short text of any value, the same in every process: no addresses, no order that hashing decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any

from clockmill.model.xcom_arg import Reference

LIMIT = 500
_DEPTH = 4


def shorten(value: Any) -> str:
    """What a template field holds, for people, in at most 500 characters."""
    shown = value if isinstance(value, str) else _text(value, _DEPTH)
    shown = shown.encode("utf-8", "replace").decode()
    return shown if len(shown) <= LIMIT else f"{shown[: LIMIT - 1]}…"


def _text(value: Any, depth: int) -> str:
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, date, timedelta, Reference)):
        return repr(value[:LIMIT]) if isinstance(value, (str, bytes)) else repr(value)
    if depth == 0:
        return "..."
    if isinstance(value, Mapping):
        pairs = (f"{_text(key, depth - 1)}: {_text(item, depth - 1)}" for key, item in _first(value.items()))
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(_text(item, depth - 1) for item in _first(value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(_text(item, depth - 1) for item in value))}}}"
    if isinstance(value, partial):
        return f"partial({_text(value.func, depth - 1)})"
    if isinstance(name := getattr(value, "__qualname__", None), str):
        return name
    return f"<{type(value).__name__}>"


def _first(items: Any, number: int = 100) -> list[Any]:
    return [item for _, item in zip(range(number), items, strict=False)]
