"""The launcher: a fork server whose children become fresh interpreters, one for each attempt.

Run by a supervisor as ``python -m clockmill.runtime.launcher SUPERVISOR_PID`` with the link to it as standard input. It
is trusted and small, and never runs code of a DAG's author: a child of it applies what ``executor_config`` asks for to
itself, and becomes the Python that is wanted. So each attempt costs the start of one interpreter, and no other. What
the supervisor started itself would begin with the supervisor's peak of memory as its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from clockmill.host import launching, processes, wire
from clockmill.runtime.forkserver import ForkServer, take_over

_PROGRAM = str(Path(__file__).with_name("freshproc.py"))
#: What every Python ignores, and a program that is started does not expect to be ignored.
_IGNORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)


class Launcher(ForkServer):
    """Starts a Python for each attempt."""

    def run_child(self) -> NoReturn:
        """Become the Python of the attempt, or tell why not."""
        try:
            # The next message is for the Python which this process becomes.
            _become(wire.read_one(processes.CONTROL_FD), self._pid)
        except (launching.LaunchError, ValueError, OSError) as error:
            _tell(f"It could not be started: {error}")
        os._exit(1)


def _become(plan: Mapping[str, Any], parent: int) -> None:
    config = plan["config"]
    launching.check(config)  # the document may have been made for another executor
    python = launching.interpreter(config, os.environ)
    login = launching.apply(config, plan["user"])
    environment = launching.environment_for(config, python, os.environ | login)
    os.set_inheritable(processes.CONTROL_FD, True)
    for number in _IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    _check_readable(plan)
    # Becoming another user has undone this.
    processes.die_with_parent(parent)
    environment[processes.ATTEMPT_MARK] = plan["attempt_id"]
    try:
        os.execve(python, [python, _PROGRAM], environment)
    except OSError as error:
        raise launching.LaunchError(f"{python!r} cannot be executed: {error.strerror}.") from None


def _check_readable(plan: Mapping[str, Any]) -> None:
    for path in (_PROGRAM, plan["bundle_path"]):
        if plan["user"] is not None and not os.access(path, os.R_OK):
            raise launching.LaunchError(f"The user {plan['user']!r} (run_as_user) cannot read {path}.")


def _tell(reason: str) -> None:
    message = {"op": "result", "result": {"outcome": "failed", "reason": reason}}
    os.write(processes.CONTROL_FD, wire.encode([message]))


def main() -> None:
    """Take over the link and serve."""
    Launcher(*take_over()).serve()


if __name__ == "__main__":
    main()
