"""The task process: what one forked child does from its first moment to its last."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

from clockmill.clock import Clock, SystemClock
from clockmill.errors import DagDefinitionError, GatewayUnavailable, TaskGone, did_you_mean
from clockmill.executors import processes
from clockmill.executors.wire import FrameReader, Message, encode
from clockmill.model.dag import DAG
from clockmill.model.loader import load_dags
from clockmill.protocols import AttemptReport, Workload
from clockmill.runtime import pipeline
from clockmill.state import Outcome

CONTROL_FD = 3
_READ_BYTES = 1 << 16
_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0

#: Gives the DAG of a workload.
Loader = Callable[[Workload], DAG]


class SocketChannel:
    """The line of one attempt to its supervisor; satisfies :class:`~clockmill.runtime.channel.TaskChannel`."""

    def __init__(self, link: socket.socket, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._reader = FrameReader()

    def workload(self) -> Workload:
        """The first thing that the supervisor says."""
        return Workload.from_json(self._receive())

    def started(self, at: str) -> None:
        """Tell that the user's code begins."""
        self._send({"op": "started", "at": at})

    def finish(self, report: AttemptReport) -> None:
        """Tell how it ended: the last word."""
        self._send({"op": "result", "result": report.to_json()})

    def get_xcoms(
        self,
        *,
        dag_id: str,
        run_id: str,
        task_ids: list[str] | None,
        key: str,
        map_indexes: list[int] | None,
        include_prior_dates: bool,
    ) -> list[tuple[str, int, str]]:
        """The XComs with that key as ``(task_id, map_index, value as JSON text)``."""
        rows = self._ask(
            "get_xcoms",
            dag_id=dag_id,
            run_id=run_id,
            task_ids=task_ids,
            key=key,
            map_indexes=map_indexes,
            include_prior_dates=include_prior_dates,
        )
        return [(task_id, map_index, value) for task_id, map_index, value in rows]

    def get_variable(self, key: str) -> str | None:
        """The text of a variable, or None when there is none."""
        value: str | None = self._ask("get_variable", key=key)
        return value

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        """The fields of a connection, or None when there is none."""
        fields: dict[str, Any] | None = self._ask("get_connection", conn_id=conn_id)
        return fields

    def _ask(self, method: str, **arguments: Any) -> Any:
        wait = _FIRST_WAIT
        while True:
            try:
                return self._ask_once(method, arguments)
            except GatewayUnavailable:
                self._clock.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    def _ask_once(self, method: str, arguments: dict[str, Any]) -> Any:
        if os.getpid() != self._owner:
            raise RuntimeError("Only the process of the task itself can read XComs, variables and connections.")
        with self._lock:
            self._send({"op": "ask", "method": method, "arguments": arguments})
            answer = self._receive()
        if "unavailable" in answer:
            raise GatewayUnavailable(answer["unavailable"])
        if "gone" in answer:
            raise TaskGone(answer["gone"])
        if "error" in answer:
            raise RuntimeError(f"{method} failed: {answer['error']}")
        return answer["value"]

    def _send(self, message: Message) -> None:
        self._link.sendall(encode([message]))

    def _receive(self) -> Message:
        while True:
            data = self._link.recv(_READ_BYTES)
            if not data:
                raise TaskGone("Its supervisor is gone.")
            if messages := self._reader.feed(data):
                return messages[0]


class _OutputHandler(logging.StreamHandler[TextIO]):
    """Logs to whatever ``sys.stdout`` is now, so that records and prints keep their order."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stdout
        super().emit(record)


def prepare_output() -> None:
    """Make standard output and error of this process line-buffered UTF-8 and send ``logging`` there."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    handler = _OutputHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)


def run_child(zygote: int, control: int, output: int, load: Loader) -> NoReturn:
    """Be the task process, right after the fork. Never returns.

    :param zygote: the process id of the parent.
    :param control: the socket to the supervisor.
    :param output: where standard output and error go.
    """
    code = 1
    try:
        _settle(zygote, control, output)
        channel = SocketChannel(socket.socket(fileno=CONTROL_FD), SystemClock())
        workload = channel.workload()
        _introduce(workload)
        report = pipeline.execute(workload, load=lambda: load(workload), channel=channel)
        _flush()
        channel.finish(report)
        code = exit_code_of(report)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        logging.getLogger("clockmill").exception("The task process failed.")
    finally:
        _flush()
        os._exit(code & 0xFF)


def exit_code_of(report: AttemptReport) -> int:
    """The exit code of the process: what the task asked for, else 0 after a good end and 1 after a bad one."""
    if report.exit_code is not None:
        return report.exit_code
    return 0 if report.outcome in (Outcome.SUCCESS, Outcome.SKIPPED) else 1


def _settle(zygote: int, control: int, output: int) -> None:
    os.setsid()
    processes.die_with_parent(zygote)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.dup2(control, CONTROL_FD, inheritable=False)
    os.closerange(CONTROL_FD + 1, os.sysconf("SC_OPEN_MAX"))
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    gc.enable()


def _introduce(workload: Workload) -> None:
    os.environ |= {
        processes.ATTEMPT_MARK: workload.attempt_id,
        "IDEMPOTENCY_KEY": workload.idempotency_key,
        "CLOCKMILL_DAG_ID": workload.dag_id,
        "CLOCKMILL_RUN_ID": workload.run_id,
        "CLOCKMILL_TASK_ID": workload.task_id,
        "CLOCKMILL_MAP_INDEX": str(workload.map_index),
        "CLOCKMILL_TRY_NUMBER": str(workload.try_number),
    }


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # the user's code may have closed or replaced it
            continue


def load_file(root: Path, file: str) -> dict[str, DAG]:
    """Import one DAG file of a bundle and give its DAGs by id.

    :param root: the folder of the bundle, which comes first on ``sys.path``.
    :raises DagDefinitionError: when the file cannot be imported.
    """
    dags = load_dags(root / file, f"clockmill_dag_{Path(file).stem}", root, thorough=False)
    return {dag.dag_id: dag for dag in dags}


def find_dag(dags: dict[str, DAG], workload: Workload) -> DAG:
    """The DAG of a workload among those of its file.

    :raises DagDefinitionError: when the file does not define it.
    """
    try:
        return dags[workload.dag_id]
    except KeyError:
        hint = did_you_mean(workload.dag_id, dags)
        raise DagDefinitionError(f"{workload.file} defines no DAG {workload.dag_id!r}.{hint}") from None
