"""``GET /health``: whether every service has completed a loop lately."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from clockmill.clock import iso
from clockmill.errors import DatabaseError
from clockmill.webserver.site import Health, current_site

blueprint = Blueprint("health", __name__)

_DATABASE_DOWN = Health("database", False, None)


@blueprint.get("/health")
def health() -> tuple[dict[str, Any], int]:
    """200 when all is well, else 503; the answer names each service, its last complete loop, and its instances.

    One instance that goes round is enough for a service; of the others the answer tells.
    """
    try:
        found = current_site().health()
    except DatabaseError:
        found = [_DATABASE_DOWN]
    is_healthy = all(one.is_healthy for one in found)
    return {"status": _word(is_healthy), "components": {one.name: _shown(one) for one in found}}, _code(is_healthy)


def _shown(one: Health) -> dict[str, Any]:
    instances = {
        each.name: {"status": _word(each.is_healthy), "last_loop": iso(each.last_loop)} for each in one.instances
    }
    return {
        "status": _word(one.is_healthy),
        "last_loop": one.last_loop and iso(one.last_loop),
        "instances": instances,
    }


def _word(is_healthy: bool) -> str:
    return "healthy" if is_healthy else "unhealthy"


def _code(is_healthy: bool) -> int:
    return 200 if is_healthy else 503
