"""The zygote: a fork server whose children are the task processes themselves, with everything imported already.

Run by a supervisor as ``python -m clockmill.runtime.zygote SUPERVISOR_PID [MODULE]`` with the link to it as standard
input and the modules that are worth importing before it forks.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from clockmill.host import processes
from clockmill.model.dag import DAG
from clockmill.protocols import Workload
from clockmill.runtime import taskproc
from clockmill.runtime.forkserver import ForkServer, take_over
from clockmill.runtime.rehearsal import rehearse

#: What nearly every DAG file imports: done once here, not in each child.
_COMMON = (
    "clockmill.model.taskflow",
    "clockmill.operators.python",
    "clockmill.operators.bash",
    "clockmill.operators.empty",
)


class Zygote(ForkServer):
    """Forks task processes; the DAG file that it has loaded, they need not import."""

    def __init__(self, link: socket.socket, wake: int) -> None:
        super().__init__(link, wake)
        self._dags: dict[str, DAG] | None = None

    def run_child(self) -> NoReturn:
        """Run the attempt here and now."""
        taskproc.run_child(self._dags_of, self._mark.write)

    def obey(self, message: dict[str, Any]) -> None:
        """Load a DAG file."""
        if message["op"] == "load":
            self._load(Path(message["root"]), message["file"])

    def serve(self) -> None:
        """Work until the supervisor closes the link or dies, then take everything along."""
        settle()
        super().serve()

    def _dags_of(self, workload: Workload) -> dict[str, DAG]:
        if self._dags is None:
            return taskproc.load_file(Path(workload.bundle_path), workload.file)
        return self._dags

    def _load(self, root: Path, file: str) -> None:
        """Import a DAG file before the forks. The supervisor sets the time limit: it kills this process."""
        before = _descriptors()
        problem = ""
        processes.die_with_parent(self._parent)  # as long as it may hang
        try:
            self._dags = taskproc.load_file(root, file)
        except BaseException as error:  # noqa: BLE001 - the file is the user's; its children tell the error in their logs
            problem = f"{type(error).__name__}: {error}"
        processes.outlive_parent()
        settle()
        self.tell({"op": "ready", "problem": problem or _leftovers(before)})


def _descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def _leftovers(before: set[str]) -> str:
    """What importing a file left behind that a fork would break, or an empty text."""
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        return "it left threads running"
    if processes.children_of(os.getpid()):
        return "it left child processes"
    if _descriptors() - before:
        return "it left files or sockets open"
    return ""


def warm_up(*more: str) -> None:
    """Do what every child would do for itself otherwise.

    :param more: modules that its children will import, beside those that every DAG file does.
    """
    gc.disable()
    for name in (*_COMMON, *more):
        importlib.import_module(name)
    taskproc.prepare_output()
    rehearse()


def settle() -> None:
    """Keep the collector off what is there now, so that children need not copy it."""
    gc.collect()
    gc.freeze()


def main() -> None:
    """Take over the link and serve."""
    link, wake = take_over()
    warm_up(*sys.argv[2:])
    Zygote(link, wake).serve()


if __name__ == "__main__":
    main()
