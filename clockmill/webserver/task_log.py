"""The log of a try as its page shows it: what of it is here, what is still to come, and from where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from clockmill.host.processes import host_name
from clockmill.logs.merged import Cursor, Log
from clockmill.logs.paths import path_for
from clockmill.logs.reader import Chunk
from clockmill.logs.store import LogsUnavailable
from clockmill.state import BEGUN_TASK_STATES
from clockmill.storage.log_owners import hosts_of
from clockmill.storage.records import RunRow, TaskRow
from clockmill.storage.run_pages import AttemptLine, list_attempts
from clockmill.webserver.site import current_site

#: For so long after the end of an attempt a page waits for what its worker did not send in time.
PATIENCE = timedelta(minutes=10)
#: A sensor that looks again and again has an attempt for each look.
ATTEMPTS_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The end of a log.

    :param chunk: None when it cannot be read now.
    :param is_live: more may come.
    :param note: what a reader has to know of it; empty when there is nothing to say.
    """

    chunk: Chunk | None
    is_live: bool
    note: str


def path_of(run: RunRow, task: TaskRow, number: int) -> Path:
    """The file of one try."""
    return path_for(
        current_site().options.logs.folder,
        dag_id=run.dag_id,
        run_id=run.run_id,
        task_id=task.task_id,
        map_index=task.map_index,
        try_number=number,
    )


def is_growing(task: TaskRow, number: int) -> bool:
    """Whether a try is not over."""
    return number >= task.try_number and task.state in BEGUN_TASK_STATES


def tail(run: RunRow, task: TaskRow, number: int, attempts: Sequence[AttemptLine]) -> Tail:
    """The end of the log of one try, or why it cannot be read.

    :param attempts: of the task instance.
    """
    growing = is_growing(task, number)
    try:
        log, chunk = current_site().options.logs.tail(path_of(run, task, number), growing=growing)
    except LogsUnavailable as error:
        return Tail(chunk=None, is_live=growing, note=str(error))
    if growing:
        return Tail(chunk=chunk, is_live=True, note="")
    ours = [each for each in attempts if each.try_number == number]
    is_late = _is_late(log, ours)
    return Tail(chunk=chunk, is_live=is_late, note=_missing(log, ours, is_late=is_late))


def chunk_at(run: RunRow, task: TaskRow, number: int, at: Cursor) -> tuple[Chunk, bool]:
    """A piece of the log of one try, and whether there is nothing to come behind it.

    :raises LogsUnavailable: when it cannot be read now.
    """
    site = current_site()
    # Asked before reading: what is written between the two comes with the next request.
    growing = is_growing(task, number)
    log, chunk = site.options.logs.chunk(path_of(run, task, number), at, growing=growing)
    if growing or not chunk.is_end:
        return chunk, False
    if not site.options.logs.is_sent:
        return chunk, True
    attempts = site.database.read(lambda c: list_attempts(c, task.id, newest=ATTEMPTS_SHOWN))
    return chunk, not _is_late(log, [each for each in attempts if each.try_number == number])


def _claimed(attempts: Sequence[AttemptLine]) -> list[str]:
    return [each.id for each in attempts if each.claimed_at is not None]


def _is_late(log: Log, attempts: Sequence[AttemptLine]) -> bool:
    """Whether the end of a try that is over may still be on its way."""
    site = current_site()
    if not site.options.logs.is_sent or not log.missing(_claimed(attempts)):
        return False
    ends = [each.ended_at for each in attempts if each.ended_at is not None]
    return bool(ends) and max(ends) > site.clock.now() - PATIENCE


def _missing(log: Log, attempts: Sequence[AttemptLine], *, is_late: bool) -> str:
    """What is not here of the log of a try that is over, and where it is."""
    site = current_site()
    missing = log.missing(_claimed(attempts))
    if not missing or not (site.options.logs.is_sent or log.size == 0):
        return ""
    hosts = site.database.read(lambda c: hosts_of(c, missing))
    host = hosts.get(missing[-1], "its worker")
    if not site.options.logs.is_sent:
        if host == host_name():
            return ""
        return f"{host} wrote it: [logs] remote does not say where workers send what tasks write."
    if is_late:
        return f"Its end has not come from {host} yet; new lines show by themselves."
    return f"Its end was never sent: {host} is gone, or cannot reach the place where logs are kept."
