"""What running tasks read, asked of the web server."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from clockmill.credentials import connection_from_environment, variable_from_environment
from clockmill.errors import GatewayUnavailable, TaskGone
from clockmill.runtime.remote.client import Client, Expired, Gone

#: How a supervisor names the function that opens its gateway.
FACTORY = f"{__name__}:open_gateway"
_KEPT = 1_000


def gateway_spec(url: str, secret: bytes, ca_file: str | None = None) -> dict[str, Any]:
    """What :func:`open_gateway` needs in another process; it holds the secret of the workers."""
    return {"url": url, "secret": secret.hex(), "ca_file": ca_file}


def open_gateway(spec: dict[str, Any]) -> HttpReadGateway:
    """The gateway that :func:`gateway_spec` describes, on connections of its own."""
    return HttpReadGateway(Client(spec["url"], bytes.fromhex(spec["secret"]), ca_file=spec["ca_file"]))


class HttpReadGateway:
    """A :class:`~clockmill.protocols.ReadGateway` on the execution API.

    Each attempt has an access of its own, which lets it read and nothing else, and only for a few minutes: it is asked
    for with the attempt's token, and again when it is over.

    :param environ: where ``CLOCKMILL_VAR_X`` and ``CLOCKMILL_CONN_X`` of this machine win over what the server has.
    """

    def __init__(self, client: Client, environ: Mapping[str, str] = os.environ) -> None:
        self._client = client
        self._environ = environ
        self._access: OrderedDict[tuple[str, str], str] = OrderedDict()

    def get_xcoms(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> list[tuple[str, int, str]]:
        """XComs of a run; see :class:`~clockmill.protocols.XComQuery`."""
        found = self._read("get_xcoms", attempt_id, token, query=query)
        return [(task_id, map_index, value) for task_id, map_index, value in found]

    def measure_xcoms(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> tuple[int, int | None]:
        """How many such XComs there are, and how many elements the longest has."""
        number, length = self._read("measure_xcoms", attempt_id, token, query=query)
        return number, length

    def get_previous_run(self, attempt_id: str, token: str) -> dict[str, str | None]:
        """The dates of the newest earlier run of the same DAG that succeeded."""
        found: dict[str, str | None] = self._read("get_previous_run", attempt_id, token)
        return found

    def get_variable(self, attempt_id: str, token: str, key: str) -> str | None:
        """The value of a variable, or None."""
        found = variable_from_environment(key, self._environ)
        return self._read("get_variable", attempt_id, token, key=key) if found is None else found

    def get_connection(self, attempt_id: str, token: str, conn_id: str) -> dict[str, Any] | None:
        """The fields of a connection, or None."""
        own = connection_from_environment(conn_id, self._environ)
        found: dict[str, Any] | None
        found = self._read("get_connection", attempt_id, token, conn_id=conn_id) if own is None else own.to_dict()
        return found

    def get_states(self, attempt_id: str, token: str, *, query: dict[str, Any]) -> dict[str, Any]:
        """How runs of a DAG and their tasks stand; see :class:`~clockmill.protocols.StatesQuery`."""
        found: dict[str, Any] = self._read("get_states", attempt_id, token, query=query)
        return found

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read(self, method: str, attempt_id: str, token: str, **arguments: Any) -> Any:
        try:
            try:
                access = self._access.get((attempt_id, token)) or self._renew(attempt_id, token)
                return self._client.call(f"/read/{method}", arguments, access=access)
            except Expired:
                return self._client.call(f"/read/{method}", arguments, access=self._renew(attempt_id, token))
        except Expired as error:  # web servers that share the work have clocks that are far apart
            raise GatewayUnavailable(str(error)) from error
        except Gone as error:
            self._access.pop((attempt_id, token), None)
            raise TaskGone(str(error)) from error

    def _renew(self, attempt_id: str, token: str) -> str:
        access = str(self._client.call("/access", {"attempt_id": attempt_id, "token": token}))
        self._access[attempt_id, token] = access
        while len(self._access) > _KEPT:
            self._access.popitem(last=False)
        return access
