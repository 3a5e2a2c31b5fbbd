"""What a person may write as the configuration of a run: JSON that every database stores and every task can read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from clockmill.errors import UsageError

MAX_BYTES = 1 << 20
MAX_DEPTH = 64


def checked_conf(conf: Mapping[str, Any]) -> dict[str, Any]:
    """``conf`` as it is stored.

    :raises UsageError: when it is too deep, too large, or holds what JSON does not know.
    """
    if problem := next(_problems(dict(conf), 1), None):
        raise UsageError(f"The configuration of a run {problem}.")
    size = len(json.dumps(conf, ensure_ascii=False).encode())
    if size > MAX_BYTES:
        raise UsageError(
            f"The configuration of a run takes {size:,} bytes; at most {MAX_BYTES:,} are allowed. "
            "Write the data to a file or a table and name that."
        )
    return dict(conf)


def _problems(value: Any, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        yield f"is nested more than {MAX_DEPTH} levels deep"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _problems(key, depth + 1)
            yield from _problems(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _problems(item, depth + 1)
    elif isinstance(value, str):
        if "\0" in value or not _is_unicode(value):
            yield f"holds text that cannot be stored, {value[:40]!r}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"holds {value}, which JSON does not know"
    elif value is not None and not isinstance(value, bool | int | float):
        yield f"holds a {type(value).__name__}, which JSON does not know"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
