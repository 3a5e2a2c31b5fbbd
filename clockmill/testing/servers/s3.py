"""An object store: a server that speaks S3, with everything in memory."""

from __future__ import annotations

import importlib.util
import json
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from clockmill.testing.servers.base import Server, ServerMissing, temporary

ANSWER_SECONDS = 30.0
REGION = "us-east-1"


class S3Server(Server):
    """An S3 server of our own, on 127.0.0.1, which lets everybody in; it forgets everything when it stops.

    It is the server of moto, as a program of its own: what is asked goes over HTTP as to any other store.

    :param folder: an empty folder.
    :raises ServerMissing: when moto is not installed.
    """

    name = "S3"
    poll_seconds = 0.05

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        find_moto()

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def options(self) -> str:
        """``[logs] storage_options`` for it: no second try, and no long wait."""
        return json.dumps(
            {
                "key": "key",
                "secret": "secret",
                "endpoint_url": self.address,
                "client_kwargs": {"region_name": REGION},
                "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 20, "read_timeout": 20},
            }
        )

    def make_bucket(self, name: str) -> None:
        """Make a bucket."""
        self._ask("PUT", f"/{name}")

    def wipe(self) -> None:
        """Throw everything away."""
        self._ask("POST", "/moto-api/reset")

    def command(self) -> Sequence[str]:
        """The server."""
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]

    def is_ready(self, pid: int) -> bool:
        """Whether it answers."""
        with suppress(OSError):
            self._ask("GET", "/moto-api/")
            return True
        return False

    def _ask(self, method: str, path: str) -> bytes:
        request = urllib.request.Request(self.address + path, method=method)
        request.add_header("Authorization", f"AWS4-HMAC-SHA256 Credential=key/20260101/{REGION}/s3/aws4_request")
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            return bytes(answer.read())


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A running S3 server, gone with everything in it afterwards.

    :raises ServerMissing: when moto is not installed.
    """
    find_moto()
    with temporary(S3Server, "s3") as server:
        yield server


def find_moto() -> None:
    """Look for the program.

    :raises ServerMissing: when it is not there.
    """
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask_cors") is None:
        raise ServerMissing("S3", "clockmill[test]", "extra")
