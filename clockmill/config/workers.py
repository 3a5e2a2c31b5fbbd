"""What may stand in ``[workers]``."""

from __future__ import annotations

import re

_HOST = r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
_URL = re.compile(rf"(?P<scheme>https?)://{_HOST}(?::[0-9]{{1,5}})?/?")
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]+){3}|\[::1\]")


def api_url_problem(value: str) -> str | None:
    """Why ``[workers] api_url`` cannot be that, or None when it can."""
    if not value or _URL.fullmatch(value):
        return None
    if "@" in value:
        return "must hold no user and no password: workers prove themselves with [workers] secret."
    if _URL.match(value):
        return "must end with the host or its port: workers ask below /execution of that."
    return "must be an address such as https://clockmill.example.org."


def is_overheard(api_url: str) -> bool:
    """Whether what workers ask and hear can be read by others on the way."""
    match = _URL.fullmatch(api_url)
    return match is not None and match["scheme"] == "http" and not _LOOPBACK.fullmatch(match["host"])
