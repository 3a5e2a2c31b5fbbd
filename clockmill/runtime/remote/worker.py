"""The worker gateway, asked of the web server."""

from __future__ import annotations

import base64
from typing import Any

from clockmill.errors import WorkerGone
from clockmill.protocols.logs import LogPiece
from clockmill.protocols.workers import Exchange, ExchangeAnswer, WorkerInfo
from clockmill.runtime.remote.client import Client, Gone, Refused, Stranger


class HttpWorkerGateway:
    """A :class:`~clockmill.protocols.workers.WorkerGateway` on the execution API."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def register(self, worker: WorkerInfo, *, follows: str | None = None, held: list[list[str]] | None = None) -> None:
        """Introduce a worker.

        :raises Refused: when the server has another secret: to begin with that is a mistake, and nothing can be lost.
        """
        try:
            self._call("register", worker=worker.to_json(), follows=follows, held=held)
        except Stranger as error:
            raise Refused(str(error)) from error

    def exchange(self, worker_id: str, said: Exchange) -> ExchangeAnswer:
        """Tell how things stand, and hear what to do.

        :raises WorkerGone: when the worker was given up.
        """
        return ExchangeAnswer.from_json(self._call("exchange", worker_id=worker_id, said=said.to_json()))

    def leave(self, worker_id: str) -> None:
        """Say goodbye."""
        self._call("leave", worker_id=worker_id)

    def get_manifest(self, bundle: str) -> dict[str, list[Any]]:
        """The files of a bundle.

        :raises NotFound: when there is no such bundle.
        """
        manifest: dict[str, list[Any]] = self._call("manifest", bundle=bundle)
        return manifest

    def get_files(self, hashes: list[str]) -> dict[str, bytes]:
        """Contents of files by their SHA-256, in as many answers as it takes."""
        found: dict[str, bytes] = {}
        wanted = list(hashes)
        while wanted:
            answer = self._call("files", hashes=wanted)
            found.update({key: base64.b64decode(text) for key, text in answer["files"].items()})
            wanted = answer["left"]
        return found

    def append_logs(self, pieces: list[LogPiece]) -> list[int | None]:
        """Send what attempts wrote."""
        kept: list[int | None] = self._call("logs", pieces=[piece.to_json() for piece in pieces])
        return kept

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, method: str, **arguments: Any) -> Any:
        try:
            return self._client.call(f"/worker/{method}", arguments)
        except Gone as error:
            raise WorkerGone(str(error)) from error
