"""The HTTP server: waitress around the application, stoppable from another thread."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from waitress import wasyncore
from waitress.server import create_server

from clockmill.errors import UsageError

#: Nothing that a person sends is larger; the same limit as in the application.
_MAX_BODY_BYTES = 1 << 20
#: Seconds that answers under way get when the server stops.
_STOP_SECONDS = 3
#: Workers keep theirs open, two or three each; one more than these would wait until another one is closed.
_MOST_CONNECTIONS = 900


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to ``host`` and ``port``; port 0 picks a free one, see ``getsockname()``.

    :raises UsageError: when the port is taken, may not be used, or the host is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        # Now, because a port that is bound but not listened to can still be taken by somebody else.
        found.listen(128)
    except (OSError, OverflowError) as error:
        found.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Cannot listen on {host}, port {port}: {reason}. Choose another one with --port; 0 picks a free one."
        ) from None
    return found


class WebServer:
    """One server over one bound socket.

    :param app: the WSGI application.
    :param sock: from :func:`listen`; this object closes it.
    :param threads: how many requests are answered at once.
    :param max_body: the largest request, bytes; an application may take less.
    """

    def __init__(
        self, app: Callable[..., Any], sock: socket.socket, threads: int = 4, *, max_body: int = _MAX_BODY_BYTES
    ) -> None:
        self._map: dict[int, Any] = {}
        # waitress types its servers as several classes, of which only one socket leaves this one.
        self._server: Any = create_server(
            app,
            map=self._map,
            sockets=[sock],
            threads=threads,
            ident=None,
            max_request_body_size=max_body,
            connection_limit=_MOST_CONNECTIONS,
            asyncore_use_poll=True,
            # Requests wake the loop by themselves; this bounds only how often it looks for idle connections.
            asyncore_loop_timeout=15,
            clear_untrusted_proxy_headers=True,
        )

    def serve(self) -> None:
        """Answer requests until :meth:`stop` is called."""
        self._server.run()

    def stop(self) -> None:
        """Let the answers under way finish, then make :meth:`serve` return; from any thread, also before it began."""
        if self._map:
            trigger = self._server.trigger
            # Held until it has rung: a request that ends at this moment rings too, and what that sets off would close
            # the descriptor before we write to it.
            with trigger.lock:
                trigger.thunks.append(self._shut)
                trigger.pull_trigger()

    def _shut(self) -> None:
        self._server.task_dispatcher.shutdown(timeout=_STOP_SECONDS)
        wasyncore.close_all(self._map)


def serve(app: Callable[..., Any], sock: socket.socket, threads: int = 4) -> None:
    """Answer requests on ``sock`` until the process ends."""
    WebServer(app, sock, threads).serve()
