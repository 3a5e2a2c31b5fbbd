"""Names that people give, and ids that we make."""

from __future__ import annotations

import os
import re
import time

MAX_ID_LENGTH = 250
#: With the prefix and the name of the executor it has to fit into the 255 bytes of AMQP.
MAX_QUEUE_BYTES = 180

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_RUN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~:+\-]*")


def new_attempt_id() -> str:
    """A fresh attempt id: 32 hexadecimal digits that ascend with time (UUID version 7, RFC 9562)."""
    millis = time.time_ns() // 1_000_000
    value = (millis << 80) | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return f"{value:032x}"


def new_token() -> str:
    """A fresh fencing token: 32 hexadecimal digits that nobody can guess."""
    return os.urandom(16).hex()  # what the module "secrets" does, without loading OpenSSL into every task


def id_problem(kind: str, value: object) -> str | None:
    """Why ``value`` cannot be the id of a ``kind`` (``DAG``, ``task``, ``run``...), or None when it can.

    Ids name folders of the log tree, so they hold no slash and do not begin with a dot.
    """
    if not isinstance(value, str) or not value:
        return f"A {kind} id must be a non-empty string, not {value!r}."
    if len(value) > MAX_ID_LENGTH:
        return f"The {kind} id {value[:40]!r}... has {len(value)} characters; at most {MAX_ID_LENGTH} are allowed."
    pattern = _RUN_ID if kind == "run" else _NAME
    if not pattern.fullmatch(value) or ".." in value:
        allowed = "letters, digits, '_', '-', '.'" + (", ':', '+', '~'" if kind == "run" else "")
        return (
            f"The {kind} id {value!r} may hold only {allowed}, must begin with a letter, digit or '_', "
            "and may not hold '..'."
        )
    return None


def queue_problem(name: str) -> str | None:
    """Why no worker can serve a queue of this name, as the end of a sentence; None when one can.

    Workers are told their queues in one line, with commas between; brokers take no longer names, nor line breaks.
    """
    if not name or name != name.strip() or "," in name or not name.isprintable():
        return "must be a name without commas and line breaks, and without spaces around it"
    if len(name.encode(errors="replace")) > MAX_QUEUE_BYTES:
        return f"must be a name of at most {MAX_QUEUE_BYTES} bytes"
    return None
