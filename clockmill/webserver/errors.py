"""Error pages: what went wrong in one sentence, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from flask import Flask, render_template, request
from werkzeug.exceptions import HTTPException

from clockmill.errors import Conflict, DatabaseError, NotFound, UsageError

log = logging.getLogger(__name__)

_LONGEST_NAME = 80

_TITLES = {
    400: "That request makes no sense",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "It has changed meanwhile",
    413: "Too large",
    500: "Something went wrong here",
    503: "The database cannot be asked",
}
_SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address only takes what the buttons of the pages send.",
    413: "What was sent is larger than one megabyte.",
    500: "The log of the web server says more. Nothing was shown here because it may hold secrets.",
}


class PageNotFound(NotFound):
    """An address that names something that does not exist; overlong names are cut."""

    def __init__(self, kind: str, name: str, known: Iterable[str] = ()) -> None:
        super().__init__(kind, name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…", known)


def handle(app: Flask) -> None:
    """Give ``app`` its error pages."""
    app.register_error_handler(HTTPException, _on_http)
    app.register_error_handler(UsageError, _on_usage)
    app.register_error_handler(Exception, _on_crash)


def _page(code: int, sentence: str) -> tuple[str, int]:
    title = _TITLES.get(code, "Error")
    # Nothing is read from the database here: it may be what is broken.
    return render_template("error.html", live=None, stopped=[], code=code, title=title, sentence=sentence), code


def _on_http(error: HTTPException) -> tuple[str, int]:
    code = error.code or 500
    return _page(code, _SENTENCES.get(code) or error.description or "")


def code_of(error: UsageError) -> int:
    """The status with which a mistake of the caller is answered."""
    codes = {NotFound: 404, Conflict: 409, DatabaseError: 503}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), 400)


def _on_usage(error: UsageError) -> tuple[str, int]:
    return _page(code_of(error), str(error))


def _on_crash(error: Exception) -> tuple[str, int]:
    log.error("A request failed", extra={"path": request.path}, exc_info=error)
    return _page(500, _SENTENCES[500])
