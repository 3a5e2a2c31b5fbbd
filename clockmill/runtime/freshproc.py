"""The first that a fresh Python runs of ours: makes this very package importable there, and nothing beside it.

The Python may be another one than that of the services, without a package of ours or of what we need elsewhere. So this
file uses nothing that an old one does not know, or it could not even say that it is too old.
"""

# ruff: noqa: PTH100, PTH120, UP031

import gc
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder

_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOT = os.path.dirname(os.path.dirname(_HERE))
_PACKAGE = "clockmill"
_LEAST = (3, 11)
_CONTROL_FD = 3


class _OurPackage:
    """Finds our package where this file lies; the other packages there are not for this Python."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        return PathFinder.find_spec(name, [_ROOT]) if name == _PACKAGE else None


def _fail(reason: str) -> None:
    import json
    import struct

    body = json.dumps({"op": "result", "result": {"outcome": "failed", "reason": reason}}).encode()
    os.write(_CONTROL_FD, struct.pack(">I", len(body)) + body)
    os._exit(1)


def _run() -> None:
    if sys.version_info < _LEAST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        _fail("Its Python, %s, is version %s; a task needs 3.11 or newer." % (sys.executable, found))
    gc.disable()  # nothing that an import makes is garbage soon
    try:
        from clockmill.runtime.taskproc import run_fresh
    except Exception as error:  # noqa: BLE001 - a foreign Python may lack anything
        import traceback

        traceback.print_exc()
        told = "%s: %s" % (type(error).__name__, error)
        _fail("Its Python, %s, cannot import clockmill from %s: %s." % (sys.executable, _ROOT, told))
    run_fresh()


# Not only in the main program: what multiprocessing spawns from a task runs this file as well.
if sys.path and sys.path[0] == _HERE:
    del sys.path[0]
sys.meta_path.insert(0, _OurPackage)

if __name__ == "__main__":
    _run()
