"""Run as ``python -m clockmill.runtime.supervisor``.

Its settings come as JSON on standard input, its locked life file and its listening socket as descriptors.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import socket
import sys

from clockmill import probes
from clockmill.clock import SystemClock
from clockmill.host import processes
from clockmill.host.sweeping import brand
from clockmill.runtime.supervisor.service import Settings, Supervisor


def main() -> None:
    """Read the settings, take over the descriptors, and serve."""
    probes.arm_from_environment()
    settings = Settings(**json.load(sys.stdin))
    for descriptor in (processes.LIFE_FD, processes.LISTEN_FD):
        os.set_inheritable(descriptor, False)
    listener = socket.socket(fileno=processes.LISTEN_FD)
    listener.setblocking(False)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.chdir(settings.home)
    os.environ["CLOCKMILL_HOME"] = settings.home  # tasks may keep files there, whatever named the home
    processes.adopt_orphans()
    brand(settings.id)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    Supervisor(settings, listener, SystemClock()).run()


if __name__ == "__main__":
    main()
