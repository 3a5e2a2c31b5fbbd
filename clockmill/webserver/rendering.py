"""Pages out of templates, and what their addresses ask for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from flask import render_template, request

from clockmill.errors import UsageError, did_you_mean
from clockmill.webserver.site import current_site

#: Milliseconds between two looks of a page at what may change; see ``static/live.js``.
LIVE_MILLIS = 2000
LIST_LIVE_MILLIS = 3000

_LARGEST = 1 << 62


def page(template: str, *, live: int | None = None, **values: Any) -> str:
    """The page that ``template`` makes of ``values``, in the frame that every page has.

    :param live: milliseconds after which the page looks again; None when nothing on it will change by itself.
    """
    services = current_site().health()
    stopped = [one for one in services if not one.is_healthy]
    return render_template(template, live=live, services=services, stopped=stopped, **values)


def integer(name: str, *, lowest: int) -> int | None:
    """A whole number out of the query string; None when it is not there.

    :raises UsageError: when it is no number, or below ``lowest``.
    """
    text = request.args.get(name, "")
    if not text:
        return None
    digits = text.removeprefix("-")
    if len(text) > 20 or not (digits.isascii() and digits.isdigit()) or not lowest <= int(text) < _LARGEST:
        raise UsageError(f"{name}={text[:40]} is not a whole number from {lowest} on.")
    return int(text)


def choice(name: str, known: Collection[str], default: str) -> str:
    """One of several words out of the query string.

    :raises UsageError: when it is another word; the nearest is suggested.
    """
    word = request.args.get(name, "") or default
    if word != default and word not in known:
        raise UsageError(f"{name}={word[:40]} is not known.{did_you_mean(word[:40], known)}")
    return word
