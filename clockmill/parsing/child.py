"""The process that imports one DAG file: limits first, then the file, then what became of it, then the end."""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn

from clockmill.clock import SystemClock, parse_iso, parse_iso_or_none
from clockmill.errors import ClockmillError, DagDefinitionError, storable
from clockmill.host import processes
from clockmill.model.dag import DAG
from clockmill.model.loader import load_dags
from clockmill.parsing.dependencies import Folder, Recorder, dependencies_of, looks_like_a_dag
from clockmill.parsing.executors import refuse_wrong_executors
from clockmill.parsing.results import Dependencies, FileError, ParsedDag, ParseResult
from clockmill.serde import dumps, encode
from clockmill.timetables import AuthoredTimetable, Schedule, TickList, tick_list
from clockmill.timetables.zones import clamped

_MB = 1 << 20
#: A NUL in JSON; a backslash before it would make it the text ``\\u0000``.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LONGEST_MESSAGE = 4_000
_LONGEST_TRACEBACK = 40_000
#: Room for saying that the memory ran out.
_RESERVE_MB = 64
#: The time limit strikes again so many seconds later, in case the file swallowed it.
_STRIKE_AGAIN = 0.2
#: A timetable of the author's own is content with fewer ticks after the first of these, and stopped after the second.
_TICKS_SLOW, _TICKS_TOO_SLOW = 2.0, 5.0


class _TimeUp(BaseException):
    """The file took too long. Raised where it is, so that the line and what it depends on can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file to parse.

    :param root: the folder of the bundle.
    :param file: relative to it.
    :param timeout: seconds.
    :param executors: ``[core] executor``.
    :param now: the present instant as ISO 8601 text; what the clock of the machine says when empty.
    :param positions: how far DAGs have come, by id, as ISO 8601 text; those that are known and have a next tick.
    """

    id: int
    root: str
    file: str
    timeout: float
    memory_mb: int
    max_document_mb: int
    max_map_length: int = 10_000
    executors: str = "local"
    now: str = ""
    positions: Mapping[str, str] = field(default_factory=dict)


def run(job: Job, folder: Folder, output: int, parent: int) -> NoReturn:
    """Parse the file of ``job`` and write the result as JSON to the descriptor ``output``. Does not return.

    What the helpers of the file name is written too, so that the next child need not read them again.

    :param parent: the process id of the worker.
    """
    os.setsid()
    processes.die_with_parent(parent)
    _quieten()
    own_pid = os.getpid()
    gc.enable()
    _limit_memory(job.memory_mb)
    result = _parse(job, folder)
    if os.getpid() == own_pid:  # the file may have forked
        helpers = {path: named for path, named in folder.known_sources.items() if path != job.file}
        _write(output, json.dumps({"result": result.to_json(), "sources": helpers}).encode())
    os._exit(0)


def _quieten() -> None:
    """What the file prints goes nowhere; signals mean what they mean in a fresh process."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    warnings.simplefilter("ignore")


def _limit_memory(megabytes: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + megabytes * _MB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit + _RESERVE_MB * _MB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _use_reserve() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _write(output: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(output, view) :]


def _parse(job: Job, folder: Folder) -> ParseResult:
    clock = SystemClock()
    started = clock.monotonic()
    path = Path(job.root) / job.file
    if not looks_like_a_dag(path.read_bytes()):
        return ParseResult(file=job.file, dependencies=Dependencies(files=(job.file,)))
    result = _import(job, folder, path)
    return replace(result, seconds=clock.monotonic() - started)


def _import(job: Job, folder: Folder, path: Path) -> ParseResult:
    recorder = Recorder(folder)
    sys.addaudithook(recorder)
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGALRM, _strike)
    try:
        signal.setitimer(signal.ITIMER_REAL, job.timeout, _STRIKE_AGAIN)
        dags = load_dags(path, f"clockmill_dag_{path.stem}", Path(job.root))
        parsed = [_encoded(job, dag) for dag in dags]
        signal.setitimer(signal.ITIMER_REAL, 0)
    except BaseException as error:  # noqa: BLE001 - whatever a DAG file raises is told to its author
        signal.setitimer(signal.ITIMER_REAL, 0)
        _use_reserve()
        recorder.is_active = False
        problem = _file_error(job, error)
        return ParseResult(
            file=job.file,
            errors=(problem,),
            # A file that hangs depends on what it has used so far; it must not hold the others up at each change.
            dependencies=dependencies_of(job.file, folder, recorder, whole=not isinstance(error, _TimeUp)),
        )
    recorder.is_active = False
    errors = tuple(item for item in parsed if isinstance(item, FileError))
    return ParseResult(
        file=job.file,
        dags=tuple(item for item in parsed if isinstance(item, ParsedDag)),
        errors=errors,
        dependencies=dependencies_of(job.file, folder, recorder, whole=bool(errors)),
    )


def _strike(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise _TimeUp


def too_slow(job: Job) -> str:
    """What the author of a file is told that was not imported in time."""
    return f"The file was not imported within {job.timeout:g} s ([dags] parse_timeout_seconds); do slow work in a task."


def _encoded(job: Job, dag: DAG) -> ParsedDag | FileError:
    try:
        dag.refuse_long_maps(job.max_map_length)
        text = dumps(encode(dag))
        refuse_wrong_executors(dag, job.executors)
        size = len(text.encode())
        ticks = _ticks(job, dag)
    except ClockmillError as error:
        line = getattr(error, "line", None) or dag.line
        trace = _trace(job, error.__cause__) if error.__cause__ else ""
        return FileError(message=_shown(str(error)), line=line, traceback=trace, dag_id=dag.dag_id)
    except UnicodeEncodeError:
        message = f"DAG {dag.dag_id!r} holds text that is no valid Unicode."
        return FileError(message=message, line=dag.line, dag_id=dag.dag_id)
    if _NUL.search(text):
        message = f"DAG {dag.dag_id!r} holds text with a NUL character, which not every database can store."
        return FileError(message=message, line=dag.line, dag_id=dag.dag_id)
    if size > job.max_document_mb * _MB:
        message = (
            f"DAG {dag.dag_id!r} with its {len(dag.tasks)} tasks takes {size / _MB:.1f} MiB when stored; [dags] "
            f"max_document_mb allows {job.max_document_mb}. Make it smaller, or raise the limit."
        )
        return FileError(message=message, line=dag.line, dag_id=dag.dag_id)
    return ParsedDag(dag_id=dag.dag_id, document=text, ticks=None if ticks is None else ticks.to_json())


def _ticks(job: Job, dag: DAG) -> TickList | None:
    """The ticks to store of a timetable of the author's own.

    :raises DagDefinitionError: when it does not answer, or not properly.
    """
    timetable = dag.timetable
    if not isinstance(timetable, AuthoredTimetable):
        return None
    clock = SystemClock()
    begun = clock.monotonic()
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, min(left, _TICKS_TOO_SLOW), _STRIKE_AGAIN)
    try:
        schedule = Schedule(timetable, dag.start_date, dag.end_date)
        return tick_list(schedule, _position(job, dag), lambda: clock.monotonic() - begun > _TICKS_SLOW)
    except _TimeUp as error:
        raise DagDefinitionError(
            f"The timetable {timetable.name} did not answer within {min(left, _TICKS_TOO_SLOW):.1g} s; it may not wait."
        ) from error
    finally:
        rest = max(left - (clock.monotonic() - begun), _STRIKE_AGAIN)
        signal.setitimer(signal.ITIMER_REAL, rest, _STRIKE_AGAIN)


def _position(job: Job, dag: DAG) -> datetime:
    """From where on ticks are wanted: the present, or with catch-up, as far as the DAG has come."""
    now = parse_iso(job.now) if job.now else SystemClock().now()
    if not dag.catchup:
        return now
    start = now if dag.start_date is None else clamped(dag.start_date) - timedelta(microseconds=1)
    return parse_iso_or_none(job.positions.get(dag.dag_id)) or start


def _file_error(job: Job, error: BaseException) -> FileError:
    cause = error.__cause__ or error
    if isinstance(error, _TimeUp):
        trace = error.__traceback__
        return FileError(message=too_slow(job), line=_last_line_in(job, trace), traceback=_trace(job, error))
    if isinstance(cause, MemoryError):
        line = getattr(error, "line", None) or _last_line_in(job, cause.__traceback__)
        return FileError(
            message=f"The file needs more than {job.memory_mb} MiB of memory while it is imported ([dags] "
            "parse_memory_mb); do such work in a task.",
            line=line,
        )
    if isinstance(error, DagDefinitionError):
        return FileError(message=_clean(job, str(error)), line=error.line, traceback=_trace(job, cause))
    message = f"{type(error).__name__}: {error}"
    line = getattr(error, "line", None) or _last_line_in(job, error.__traceback__)
    return FileError(message=_clean(job, message), line=line, traceback=_trace(job, error))


def _last_line_in(job: Job, trace: TracebackType | None) -> int | None:
    path = str(Path(job.root) / job.file)
    lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename == path]
    return lines[-1] if lines else None


def _trace(job: Job, error: BaseException) -> str:
    """The traceback as its author knows it: from the first frame in the folder on, with paths relative to it."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(f"{job.root}/"):
        trace = trace.tb_next
    if trace is None and not isinstance(error, SyntaxError):
        return ""
    try:
        lines = traceback.format_exception(type(error), error, trace)
    except Exception:  # noqa: BLE001 - an exception of the author's whose own text cannot be made
        return ""
    return _clean(job, "".join(lines), longest=_LONGEST_TRACEBACK)


def _clean(job: Job, text: str, *, longest: int = _LONGEST_MESSAGE) -> str:
    return _shown(text.replace(f"{job.root}/", ""), longest=longest)


def _shown(text: str, *, longest: int = _LONGEST_MESSAGE) -> str:
    """``text`` as any database can store it, and not too long to be read."""
    text = storable(text)
    return text if len(text) <= longest else f"{text[:longest]}..."
