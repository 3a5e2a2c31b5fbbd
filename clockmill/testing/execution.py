"""The execution API on a real server, for tests of what speaks to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from clockmill.clock import SystemClock
from clockmill.protocols.workers import WorkerGateway
from clockmill.runtime.remote.signing import MOST_BYTES
from clockmill.storage.gateway import DatabaseGateway
from clockmill.webserver.execution import create_execution_app, mounted
from clockmill.webserver.server import WebServer, listen


@contextmanager
def execution_server(workers: WorkerGateway, reads: DatabaseGateway, secret: bytes) -> Iterator[str]:
    """The address of a server that asks these gateways; it is gone afterwards."""
    sock = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{sock.getsockname()[1]}"
    app = mounted(create_execution_app(workers, reads, secret, SystemClock()))
    server = WebServer(app, sock, max_body=MOST_BYTES)
    thread = threading.Thread(target=server.serve, name="execution-api")
    thread.start()
    try:
        yield address
    finally:
        server.stop()
        thread.join()
