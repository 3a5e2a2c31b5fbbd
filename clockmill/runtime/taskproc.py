"""The task process: what one forked child does from its first moment to its last."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

from clockmill.clock import SystemClock
from clockmill.errors import DagDefinitionError, did_you_mean
from clockmill.host import processes
from clockmill.model.dag import DAG
from clockmill.model.loader import load_dags
from clockmill.protocols import AttemptReport, Workload
from clockmill.runtime import pipeline
from clockmill.runtime.callbacks import make_call
from clockmill.runtime.taskproc_channel import MAY_STAY, SocketChannel
from clockmill.state import GOOD_OUTCOMES

#: Gives the DAGs of the file of a workload, by id.
Loader = Callable[[Workload], dict[str, DAG]]


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


def run_child(load: Loader, show_mark: Callable[[str], None]) -> NoReturn:
    """Be the task process, right after the fork. Never returns.

    :param show_mark: makes ``/proc`` show the attempt id that it is called with.
    """
    _be_task(_settle, load, show_mark)


def run_fresh() -> NoReturn:
    """Be the task process in an interpreter of its own, which the launcher has put in its place. Never returns."""
    _be_task(_settle_in, lambda workload: load_file(Path(workload.bundle_path), workload.file), _show_nothing)


def _be_task(settle: Callable[[], None], load: Loader, show_mark: Callable[[str], None]) -> NoReturn:
    code = 1
    try:
        settle()
        link = socket.socket(fileno=processes.CONTROL_FD)
        channel = SocketChannel(link, SystemClock())
        opening = channel.opening()
        if MAY_STAY in opening:
            from clockmill.runtime.warm import serve  # costs each task process that is for one attempt only

            code = serve(link, channel, opening, load, show_mark)
        else:
            code = _serve_once(channel, Workload.from_json(opening), load)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        logging.getLogger("clockmill").exception("The task process failed.")
    finally:
        flush_output()
        os._exit(code & 0xFF)


def _serve_once(channel: SocketChannel, workload: Workload, load: Loader) -> int:
    report = perform(workload, load, channel)
    if channel.is_own:  # the user's code may have forked, and come back here twice
        channel.finish(report)
    return exit_code_of(report)


def perform(workload: Workload, load: Loader, channel: SocketChannel) -> AttemptReport:
    """Run one attempt here; returns its report, with all output of this process written."""
    introduce(workload)
    work = pipeline.execute if workload.callback is None else make_call
    report = work(workload, load=lambda: find_dag(load(workload), workload), channel=channel)
    flush_output()
    return report


def exit_code_of(report: AttemptReport) -> int:
    """The exit code of the process: what the task asked for, else 0 after a good end and 1 after a bad one."""
    if report.exit_code is not None:
        return report.exit_code
    return 0 if report.outcome in GOOD_OUTCOMES else 1


def _settle() -> None:
    # The module "random" seeds itself anew after a fork; numpy does not.
    reseed_numpy()
    gc.enable()


def reseed_numpy() -> None:
    """Give the random numbers of numpy, where it is loaded, a new beginning."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


def _show_nothing(_attempt_id: str) -> None:
    """What a fresh interpreter shows, it was started with."""


def _settle_in() -> None:
    os.set_inheritable(processes.CONTROL_FD, False)
    prepare_output()
    gc.freeze()
    gc.enable()


def introduce(workload: Workload) -> None:
    """Tell user code by its environment which attempt this process is for."""
    os.environ |= variables_of(workload)


def variables_of(workload: Workload) -> dict[str, str]:
    """The environment variables by which user code knows its attempt."""
    return {
        processes.ATTEMPT_MARK: workload.attempt_id,
        "IDEMPOTENCY_KEY": workload.idempotency_key,
        "CLOCKMILL_DAG_ID": workload.dag_id,
        "CLOCKMILL_RUN_ID": workload.run_id,
        "CLOCKMILL_TASK_ID": workload.task_id,
        "CLOCKMILL_MAP_INDEX": str(workload.map_index),
        "CLOCKMILL_TRY_NUMBER": str(workload.try_number),
    }


def flush_output() -> None:
    """Write what the streams of this process hold back."""
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
