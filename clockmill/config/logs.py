"""What may stand in ``[logs]``."""

from __future__ import annotations

import json
import re

#: Workers send what their tasks write to the web server.
LOGS_BY_API = "api"
_URL = re.compile(r"[a-z][a-z0-9+.\-]*://.+")
_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")


def remote_problem(value: str) -> str | None:
    """Why ``[logs] remote`` cannot be that, or None when it can."""
    if _PASSWORD.search(value):
        return "must hold no password: that goes into storage_options, or into the environment."
    if value in ("", LOGS_BY_API) or _URL.fullmatch(value):
        return None
    return "must be api, the URL of a store such as s3://BUCKET/PREFIX, or empty."


def storage_options_problem(value: str) -> str | None:
    """Why ``[logs] storage_options`` cannot be that, or None when they can."""
    try:
        is_good = value == "" or isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        is_good = False
    return None if is_good else """must be a JSON object, such as '{"endpoint_url": "https://s3.example.org"}'."""
