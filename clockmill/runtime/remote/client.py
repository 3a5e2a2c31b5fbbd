"""Calls to the execution API: signed, kept alive, packed, repeated while the server cannot be asked."""

from __future__ import annotations

import json
import ssl
from typing import Any

import urllib3

from clockmill.errors import ClockmillError, ConfigError, GatewayUnavailable, NotFound
from clockmill.runtime.remote.signing import MOST_BYTES, PREFIX, SIGNATURE, pack, sign

_CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
_TRIES = 2


class Expired(Exception):
    """The access of an attempt is over and has to be asked for again."""


class Gone(Exception):
    """Who called, or what it called about, is given up."""


class Refused(ClockmillError):
    """The server did not do what was asked, and will not when it is asked again."""


class Stranger(GatewayUnavailable):
    """The server has another secret. That is no fault of what was asked, and mended where the secret is set."""


class Client:
    """Calls one web server.

    :param url: of the web server, without a path: ``https://clockmill.example.org``.
    :param secret: ``[workers] secret``, which both sides know.
    :param ca_file: the certificates that a server with ``https`` is checked with; None for those of the system.
    :param answer_seconds: how long an answer may be in coming.
    :raises ConfigError: when that file cannot be used.
    """

    def __init__(
        self, url: str, secret: bytes, *, ca_file: str | None = None, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._url = url.rstrip("/")
        self._secret = secret
        try:
            context = ssl.create_default_context(cafile=ca_file) if ca_file else None
        except OSError as error:
            told = f"{ca_file} cannot be used: {error.strerror or error}"
            raise ConfigError(f"[workers] api_ca_file: {told}.") from error
        limits = urllib3.Timeout(connect=_CONNECT_SECONDS, read=answer_seconds)
        self._pool = urllib3.PoolManager(ssl_context=context, retries=False, timeout=limits)

    def call(self, path: str, arguments: dict[str, Any], *, access: str | None = None) -> Any:
        """The value that the server answers with.

        :param access: of an attempt; without it the call is signed as the worker's own.
        :raises Gone: when that is the answer.
        :raises Expired: when ``access`` is over.
        :raises Refused: when the server will not do it.
        :raises Stranger: when it does not take the signature for ours.
        :raises GatewayUnavailable: when there is no answer of the server, or it cannot ask its database now.
        """
        path = PREFIX + path
        plain = json.dumps(arguments).encode()
        if len(plain) > MOST_BYTES:  # whatever stands before the server might refuse it in words that are no answer
            raise Refused(f"A call with {len(plain) >> 20} MiB is too large: {MOST_BYTES >> 20} MiB is the most.")
        body, headers = pack(plain)
        headers |= {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        if access is None:
            headers[SIGNATURE] = sign(self._secret, path, body)
        else:
            headers["Authorization"] = f"Bearer {access}"
        return _value(self._send(path, body, headers))

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _send(self, path: str, body: bytes, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        for last in range(_TRIES):
            try:
                return self._pool.request("POST", self._url + path, body=body, headers=headers, redirect=False)
            except urllib3.exceptions.HTTPError as error:  # a kept connection may have been closed meanwhile: once more
                if last == _TRIES - 1 or isinstance(error, urllib3.exceptions.TimeoutError):
                    raise GatewayUnavailable(f"{self._url} cannot be asked: {error}") from error
        raise AssertionError("unreachable")


def _why(status: int) -> str:
    """What is most likely wrong when somebody without an execution API answers."""
    if status in (403, 404):  # what pages say to a call that they do not know
        return " Is [webserver] execution_api set there?"
    return ""


def _value(response: urllib3.BaseHTTPResponse) -> Any:
    try:
        answer = json.loads(response.data)
    except (ValueError, urllib3.exceptions.HTTPError):
        answer = None
    if not isinstance(answer, dict) or not {"value", "error"} & answer.keys():
        # Whatever stands between here and the server said this: it is no answer.
        raise GatewayUnavailable(
            f"HTTP {response.status} without an answer of the execution API.{_why(response.status)}"
        )
    if response.status == 200:
        return answer["value"]
    sentence = str(answer["error"])
    match answer.get("kind"):
        case "gone":
            raise Gone(sentence)
        case "expired":
            raise Expired(sentence)
        case "unavailable":
            raise GatewayUnavailable(sentence)
        case "missing":
            raise NotFound(answer["what"], answer["name"])
        case "stranger":
            raise Stranger(sentence)
        case "refused" | "unknown":
            raise Refused(sentence)
    # As above, by somebody who speaks JSON.
    raise GatewayUnavailable(f"HTTP {response.status}, which is no answer of the execution API: {sentence[:200]}")
