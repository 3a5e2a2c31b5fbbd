"""The execution API: what workers without credentials of the database ask of the web server.

An application of its own beside the pages: no cookies, no forms, and every call proves who it comes from. A worker
signs its calls with the secret of the installation. What a task reads goes by an access that is bound to its attempt
and to reading, and that is over after some minutes.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as NothingThere
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from clockmill.clock import Clock
from clockmill.errors import GatewayUnavailable, NotFound, TaskGone, UsageError, WorkerGone
from clockmill.protocols.logs import LogPiece
from clockmill.protocols.workers import Exchange, WorkerGateway, WorkerInfo
from clockmill.runtime.remote.signing import MOST_BYTES, SIGNATURE, TooLarge, is_signed, pack, unpack
from clockmill.storage.gateway import DatabaseGateway

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = logging.getLogger(__name__)

MOUNT = "/execution"
ACCESS_SECONDS = 600
_MOST_FILE_BYTES = 16 << 20
_READS = frozenset({"get_xcoms", "measure_xcoms", "get_variable", "get_connection", "get_previous_run", "get_states"})

Body = dict[str, Any]


class Refusal(Exception):
    """A call that is not answered.

    :param kind: tells the caller what to do about it.
    """

    def __init__(self, status: int, kind: str, sentence: str, **told: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.body = {"error": sentence, "kind": kind, **told}


class ExecutionApi:
    """The calls, on the gateways that ask the database.

    :param secret: of the workers.
    """

    def __init__(self, workers: WorkerGateway, reads: DatabaseGateway, secret: bytes, clock: Clock) -> None:
        self._workers = workers
        self._clock = clock
        self._reads = reads
        self._secret = secret
        self._access = URLSafeTimedSerializer(secret, salt="access of an attempt")
        self._calls: dict[str, Callable[[Body], Any]] = {
            "register": self._register,
            "exchange": self._exchange,
            "leave": lambda body: self._workers.leave(_text(body, "worker_id")),
            "manifest": lambda body: self._workers.get_manifest(_text(body, "bundle")),
            "files": self._files,
            "logs": lambda body: self._workers.append_logs([_piece(each) for each in body["pieces"]]),
        }

    def worker(self, method: str) -> Any:
        """A call of a worker."""
        call = self._calls.get(method)
        body = self._signed_body()
        if call is None:
            raise Refusal(404, "unknown", f"There is no call {method!r}.")
        return call(body)

    def access(self) -> str:
        """Let an attempt read."""
        body = self._signed_body()
        self._reads.check(_text(body, "attempt_id"), _text(body, "token"))
        return str(self._access.dumps([_text(body, "attempt_id"), _text(body, "token")]))

    def read(self, method: str) -> Any:
        """A read of a task."""
        attempt_id, token = self._bearer()
        if method not in _READS:
            raise Refusal(403, "refused", f"A task cannot call {method!r}.")
        return getattr(self._reads, method)(attempt_id, token, **_body())

    def _bearer(self) -> tuple[str, str]:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise Refusal(401, "refused", "The call carries no access of an attempt.")
        try:
            (attempt_id, token), made_at = self._access.loads(text, return_timestamp=True)
        except BadSignature:
            raise Refusal(401, "refused", "The access is not of this installation.") from None
        # Another web server, the clock of which is ahead of this one, may have made it: it is no worse for that.
        if (self._clock.now() - made_at).total_seconds() > ACCESS_SECONDS:
            raise Refusal(401, "expired", "The access is over; ask for another one.")
        return attempt_id, token

    def _signed_body(self) -> Body:
        path = request.script_root + request.path
        if not is_signed(self._secret, path, request.get_data(), request.headers.get(SIGNATURE, "")):
            told = "not signed with the secret of this installation: [workers] secret must be the same on all machines"
            raise Refusal(401, "stranger", f"The call is {told}.")
        return _body()

    def _register(self, body: Body) -> None:
        self._workers.register(WorkerInfo.from_json(body["worker"]), follows=body["follows"], held=body["held"])

    def _exchange(self, body: Body) -> Any:
        return self._workers.exchange(_text(body, "worker_id"), Exchange.from_json(body["said"])).to_json()

    def _files(self, body: Body) -> Any:
        """As many contents as go into one answer, and which are left; one at least, so that it comes to an end."""
        files: dict[str, str] = {}
        left = list(body["hashes"])
        size = 0
        while left and size < _MOST_FILE_BYTES:
            part, left = left[:1], left[1:]
            for key, content in self._workers.get_files(part).items():
                files[key] = base64.b64encode(content).decode()
                size += len(files[key])
        return {"files": files, "left": left}


def _piece(told: Body) -> LogPiece:
    """A piece of a log; what is no text, number or truth value in it is refused before anything is written."""
    piece = LogPiece.from_json(told)
    if type(piece.offset) is not int or piece.offset < 0 or type(piece.is_last) is not bool:
        raise ValueError("a piece of a log needs an offset from 0 on, and is the last one or not")
    for name in ("attempt_id", "token"):
        _text(told, name)
    return piece


def create_execution_app(workers: WorkerGateway, reads: DatabaseGateway, secret: bytes, clock: Clock) -> Flask:
    """The application that answers below :data:`MOUNT`.

    :param secret: ``[workers] secret``, the same on all machines.
    """
    app = Flask("clockmill.webserver.execution", root_path=str(Path(__file__).parent), static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MOST_BYTES)
    api = ExecutionApi(workers, reads, secret, clock)
    app.add_url_rule("/v1/worker/<method>", "worker", _answering(api.worker), methods=["POST"])
    app.add_url_rule("/v1/access", "access", _answering(api.access), methods=["POST"])
    app.add_url_rule("/v1/read/<method>", "read", _answering(api.read), methods=["POST"])
    app.register_error_handler(HTTPException, _on_http)
    return app


def mounted(execution: Flask, pages: Flask | None = None) -> WSGIApplication:
    """The execution API where it belongs, and the pages at all other addresses."""
    return DispatcherMiddleware(pages or NothingThere(), {MOUNT: execution})


def _answering(call: Callable[..., Any]) -> Callable[..., Response]:
    """Answer with what a call returns or raises, in JSON."""

    def view(**arguments: str) -> Response:
        try:
            return _json({"value": call(**arguments)})
        except Refusal as error:
            return _json(error.body, error.status)
        except (TaskGone, WorkerGone) as error:
            return _json({"error": str(error), "kind": "gone"}, 410)
        except GatewayUnavailable as error:
            return _json({"error": str(error), "kind": "unavailable"}, 503)
        except NotFound as error:
            return _json({"error": str(error), "kind": "missing", "what": error.kind, "name": error.name}, 404)
        except UsageError as error:
            return _json({"error": str(error), "kind": "refused"}, 400)
        except (KeyError, TypeError, ValueError) as error:
            log.warning("a call to %s makes no sense", request.path, exc_info=True)
            return _json({"error": f"{type(error).__name__}: {error}", "kind": "refused"}, 400)
        except Exception:
            log.exception("a call to %s failed", request.path)
            return _json({"error": "The call failed; the log of the web server says why.", "kind": "refused"}, 500)

    return view


def _body() -> Body:
    try:
        body = json.loads(unpack(request.get_data(), request.headers.get("Content-Encoding")))
    except TooLarge as error:
        raise Refusal(413, "refused", str(error)) from None
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "refused", f"The body is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(400, "refused", "The body must be a JSON object.")
    return body


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or "\0" in value:
        raise Refusal(400, "refused", f"{name} must be a text.")
    return value


def _json(body: Body, status: int = 200) -> Response:
    data = json.dumps(body).encode()
    headers: dict[str, str] = {}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        data, headers = pack(data)
    return Response(data, status, {"Cache-Control": "no-store", **headers}, mimetype="application/json")


def _on_http(error: HTTPException) -> Response:
    return _json({"error": error.description or "", "kind": "refused"}, error.code or 500)
