"""What a supervisor lets a task process say of its own end: user code may have written anything to that socket."""

from __future__ import annotations

import math
from typing import Any

from clockmill.clock import parse_iso
from clockmill.errors import storable
from clockmill.state import OWN_OUTCOMES

_KINDS: dict[str, type | tuple[type, ...]] = {
    "outcome": str,
    "reason": str,
    "started_at": (str, type(None)),
    "ended_at": (str, type(None)),
    "retry_after": (int, float, type(None)),
    "no_retry": bool,
    "called_back": bool,
    "branch": (list, type(None)),
    "skips": (str, type(None)),
    "xcoms": list,
    "run_requests": list,
    "defer": (dict, type(None)),
    "look_again_at": (str, type(None)),
    "label": (str, type(None)),
}
_DEFERRAL = {"class_path": str, "kwargs": str, "method": str, "method_kwargs": str}
_REQUEST: dict[str, type | tuple[type, ...]] = {
    "dag_id": str,
    "run_id": str,
    "conf": dict,
    "logical_date": (str, type(None)),
    "run_after": (str, type(None)),
    "reset": bool,
    "skip_existing": bool,
    "fail_paused": bool,
}
#: All of them are made in one transaction, in which nobody else can work.
_MOST_REQUESTS = 100
_LONGEST_REASON = 2_000


def checked_result(result: object) -> dict[str, Any]:
    """The fields of an :class:`~clockmill.protocols.AttemptReport` that are the task's to tell, fit to be stored.

    :raises ValueError: when one of them is not what it must be.
    """
    if not isinstance(result, dict):
        raise ValueError(f"its result is a {type(result).__name__}")
    told = {name: value for name, value in result.items() if name in _KINDS}
    wrong = [name for name, value in told.items() if not isinstance(value, _KINDS[name])]
    if wrong or told.get("outcome") not in OWN_OUTCOMES or not _is_sound(told):
        raise ValueError(f"its result is no good{': ' if wrong else ''}{', '.join(wrong)}")
    texts = {name: short_reason(told[name]) for name in ("reason", "label") if told.get(name) is not None}
    return told | {"reason": ""} | texts


def _is_sound(told: dict[str, Any]) -> bool:
    _check_moments(told, "started_at", "ended_at", "look_again_at")
    pairs, requests = told.get("xcoms", []), told.get("run_requests", [])
    return (
        math.isfinite(told.get("retry_after") or 0)
        and (told["outcome"] != "rescheduled" or bool(told.get("look_again_at")))
        and (told["outcome"] != "deferred" or _is_deferral(told.get("defer")))
        and len(requests) <= _MOST_REQUESTS
        and all(_is_request(request) for request in requests)
        and all(isinstance(task_id, str) for task_id in told.get("branch") or [])
        and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
        and all(isinstance(part, str) for pair in pairs for part in pair)
    )


def _is_deferral(defer: dict[str, Any] | None) -> bool:
    if defer is None or not all(isinstance(defer.get(name), kind) for name, kind in _DEFERRAL.items()):
        return False
    timeout = defer.get("timeout")
    return timeout is None or (isinstance(timeout, int | float) and math.isfinite(timeout))


def _is_request(request: object) -> bool:
    if not isinstance(request, dict) or not all(isinstance(request.get(key), _REQUEST[key]) for key in _REQUEST):
        return False
    _check_moments(request, "logical_date", "run_after")
    return True


def _check_moments(told: dict[str, Any], *names: str) -> None:
    for name in names:
        if told.get(name) is not None:
            try:
                parse_iso(told[name])
            except (ValueError, OverflowError) as error:  # or in UTC it would be before the year 1, or after 9999
                raise ValueError(f"its {name} is no time: {error}") from error


def short_reason(text: str) -> str:
    """``text`` as any database can store it, and not too long to be read."""
    return storable(text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}...")
