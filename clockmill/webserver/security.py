"""What every request has to pass and every answer carries: host, origin, token, headers.

There is no login yet, so the server listens on loopback. That alone does not keep other sites out: a page elsewhere
may post a form to ``localhost``, or point its own name at ``127.0.0.1`` to read the answers. These checks stop both.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from hmac import compare_digest
from urllib.parse import urlsplit

from flask import Flask, Request, Response, abort, request, session

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOKEN_FIELD = "csrf_token"
_KEY_BYTES = 32

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with that, browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def protect(app: Flask, secret_key: bytes, allowed_hosts: frozenset[str]) -> None:
    """Put every check and header on ``app``.

    :param allowed_hosts: host names, without a port, that this server answers to besides ``localhost`` and addresses
        in numbers.
    """
    app.config.update(
        SECRET_KEY=secret_key,
        # Cookies ignore ports: two servers on one machine must not overwrite each other's.
        SESSION_COOKIE_NAME=f"clockmill_{hashlib.sha256(secret_key).hexdigest()[:8]}",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=1 << 20,
    )

    def check() -> None:
        if request.endpoint != "health.health" and not _is_known_host(request.host, allowed_hosts):
            abort(400, f"This server does not answer to the name {request.host[:100]!r}.")
        if request.method not in SAFE_METHODS:
            _check_origin(request)
            if request.blueprint == "api":
                _check_is_json(request)
            else:
                _check_token(request)
        if any("\0" in value for fields in (request.args, request.form) for _, value in fields.items(multi=True)):
            abort(400, "A value holds a NUL character, which no text has.")

    app.before_request(check)
    app.after_request(_add_headers)
    app.jinja_env.globals["csrf_token"] = csrf_token
    app.jinja_env.globals["csrf_field"] = TOKEN_FIELD


def csrf_token() -> str:
    """The token of this session, which every form sends back."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(_KEY_BYTES)
    return str(session["csrf"])


def _is_known_host(host: str, allowed: frozenset[str]) -> bool:
    """A name may be made to point anywhere; an address in numbers is what the browser really talks to."""
    name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    if name == "localhost" or name.endswith(".localhost") or name in allowed:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(incoming: Request) -> None:
    fetch_site = incoming.headers.get("Sec-Fetch-Site")
    source = incoming.headers.get("Origin") or incoming.headers.get("Referer")
    foreign = source is not None and urlsplit(source).netloc != incoming.host
    if foreign or fetch_site not in {None, "same-origin", "none"}:
        abort(403, "This form came from another site, so nothing was changed.")


def _check_token(incoming: Request) -> None:
    sent = incoming.form.get(TOKEN_FIELD, "")
    if not compare_digest(sent.encode(), str(session.get("csrf") or secrets.token_hex()).encode()):
        abort(403, "This form is too old, so nothing was changed. Load the page again and repeat it.")


def _check_is_json(incoming: Request) -> None:
    """A form elsewhere cannot send JSON, and a script elsewhere is asked for leave first, which it does not get."""
    if not incoming.is_json:
        abort(415, "Send application/json.")


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-cache, private")
    return response
