"""From what files gave to rows: DAGs, versions, first ticks, import errors.

Decisions are made here, inside the transaction, on rows that are held; ``storage.dags`` only writes them. A version is
made when the document or the code that it depends on changed, and never otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from clockmill.config.settings import CoreSettings
from clockmill.events import Event, EventKind
from clockmill.parsing.fingerprint import Fingerprints
from clockmill.parsing.results import FileError, ParsedDag, ParseResult
from clockmill.parsing.ticks import tick_of_known, tick_of_new
from clockmill.serde import Document, decode
from clockmill.storage import dags, events, schedules
from clockmill.storage.dags import HeldDag, ImportErrorRow, NewVersion, ParsedFileRow
from clockmill.storage.engine import Connection
from clockmill.timetables import TickList

ACTOR = "dag-processor"


@dataclass(frozen=True, kw_only=True)
class SyncContext:
    """What the results of one snapshot are stored with.

    :param source: the name of the folder that they come from.
    :param bundle_id: the row of the bundle that they were parsed from.
    :param is_present: whether a file, by source and path, is still there; who asks for a DAG of a file that is gone
        may have it.
    :param pending: files of this snapshot of which the results are still to be stored.
    """

    source: str
    bundle_id: int
    fingerprints: Fingerprints
    defaults: CoreSettings
    is_present: Callable[[str, str], bool]
    now: datetime
    pending: Collection[str] = ()


@dataclass
class Outcome:
    """What became of a batch of results.

    :param parsed: what was noted of each file.
    :param deferred: results that wait for a pending file, which may be about to give up one of their DAGs.
    :param changed: whether a scheduler should look.
    """

    parsed: list[ParsedFileRow] = field(default_factory=list)
    deferred: list[ParseResult] = field(default_factory=list)
    changed: bool = False


@dataclass
class _Work:
    """Rows to be written, collected over a batch so that each table is written once."""

    new_dags: list[dict[str, Any]] = field(default_factory=list)
    changes: dict[tuple[str, ...], list[dict[str, Any]]] = field(default_factory=dict)
    versions: list[NewVersion] = field(default_factory=list)
    ticks: dict[str, TickList] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def change(self, row: dict[str, Any]) -> None:
        self.changes.setdefault(tuple(row), []).append(row)


def sync_results(connection: Connection, context: SyncContext, results: Sequence[ParseResult]) -> Outcome:
    """Store the results of some files, in their order."""
    return _Batch(connection, context).store(results)


class _Batch:
    def __init__(self, connection: Connection, context: SyncContext) -> None:
        self._connection = connection
        self._context = context
        self._work = _Work()
        self._outcome = Outcome()
        self._held: dict[str, HeldDag] = {}
        self._claimed: dict[str, str] = {}
        self._kept: dict[str, set[str | None]] = {}

    def store(self, results: Sequence[ParseResult]) -> Outcome:
        self._kept = {
            result.file: {*(dag.dag_id for dag in result.dags), *(error.dag_id for error in result.errors)}
            for result in results
            if not result.is_broken
        }
        ids = {parsed.dag_id for result in results for parsed in result.dags}
        self._held = dags.hold_dags(self._connection, ids)
        ready = [result for result in results if not self._must_wait(result)]
        self._outcome.deferred = [result for result in results if self._must_wait(result)]
        judged = [self._without_foreign(result) for result in ready]
        for result in judged:
            for parsed in result.dags:
                self._store_dag(result, parsed)
        self._write()
        self._deactivate_gone(judged)
        self._note_errors(judged)
        self._note_parsed(judged)
        return self._outcome

    # --- whose DAG it is -------------------------------------------------------------------------------------------

    def _must_wait(self, result: ParseResult) -> bool:
        owners = (self._owner(parsed.dag_id, result.file) for parsed in result.dags)
        source = self._context.source
        return any(owner and owner[0] == source and owner[1] in self._context.pending for owner in owners)

    def _owner(self, dag_id: str, file: str) -> tuple[str, str] | None:
        """The other file that has this DAG, by source and path, or None when ``file`` may have it."""
        held = self._held.get(dag_id)
        if held is None or not held.is_active or (held.source, held.file) == (self._context.source, file):
            return None
        if held.source == self._context.source and dag_id not in self._kept.get(held.file, {dag_id}):
            return None  # given up in this very batch
        return (held.source, held.file) if self._context.is_present(held.source, held.file) else None

    def _without_foreign(self, result: ParseResult) -> ParseResult:
        """The result without the DAGs that another file has, and an error for each of them."""
        errors = []
        for parsed in result.dags:
            owner = self._owner(parsed.dag_id, result.file)
            first = self._claimed.setdefault(parsed.dag_id, result.file) if owner is None else _place(owner)
            if first != result.file:
                message = f"The DAG {parsed.dag_id!r} is defined in {first} already; give this one another dag_id."
                errors.append(FileError(message=message, dag_id=parsed.dag_id))
        if not errors:
            return result
        foreign = {str(error.dag_id) for error in errors}
        return result.without_dags(foreign).with_errors(*errors).depending_on_all()

    # --- one DAG ---------------------------------------------------------------------------------------------------

    def _store_dag(self, result: ParseResult, parsed: ParsedDag) -> None:
        context, held = self._context, self._held.get(parsed.dag_id)
        version = self._next_version(result, parsed, held)
        if held is not None and not _is_change(held, version) and held.is_active:
            seen = {"dag_id": parsed.dag_id, "last_parsed_at": context.now, "parse_seconds": result.seconds}
            self._work.change(seen | self._refill(parsed))
            return
        document = decode(parsed.document)
        columns = {**self._columns(result, document), **self._next_tick(parsed, document, held)}
        if held is None:
            columns |= {"is_paused": self._starts_paused(document), "created_at": context.now}
            self._work.new_dags.append(columns)
        else:
            self._work.change(columns)
        if held is None or _is_change(held, version):
            self._work.versions.append(version)
            detail = {"number": version.number, "file": result.file}
            self._tell(EventKind.DAG_VERSION, parsed.dag_id, detail)
        self._outcome.changed = True

    def _next_version(self, result: ParseResult, parsed: ParsedDag, held: HeldDag | None) -> NewVersion:
        return NewVersion(
            dag_id=parsed.dag_id,
            number=1 if held is None else held.number + 1,
            document=parsed.document,
            document_hash=hashlib.sha256(parsed.document.encode()).hexdigest(),
            code_hash=self._context.fingerprints.code_hash(result.dependencies),
            bundle_id=self._context.bundle_id,
            file=result.file,
        )

    def _columns(self, result: ParseResult, document: Document) -> dict[str, Any]:
        defaults = self._context.defaults
        runs, tasks = document.max_active_runs, document.max_active_tasks
        return {
            "dag_id": document.dag_id,
            "source": self._context.source,
            "file": result.file,
            "is_active": True,
            "description": document.description,
            "owner": document.owner,
            "tags": list(document.tags),
            "schedule": document.schedule,
            "max_active_runs": defaults.max_active_runs_per_dag if runs is None else runs,
            "max_active_tasks": defaults.max_active_tasks_per_dag if tasks is None else tasks,
            "overlap": document.overlap,
            "max_consecutive_failed": document.max_consecutive_failed_dag_runs,
            "last_parsed_at": self._context.now,
            "parse_seconds": result.seconds,
        }

    def _starts_paused(self, document: Document) -> bool:
        asked = document.is_paused_upon_creation
        return self._context.defaults.dags_are_paused_at_creation if asked is None else asked

    def _next_tick(self, parsed: ParsedDag, document: Document, held: HeldDag | None) -> dict[str, Any]:
        """The columns of the next tick; none when it stays as it is."""
        ticks, now = self._ticks(parsed), self._context.now
        if held is None or held.version_id is None:
            return tick_of_new(document, ticks, now)
        before = decode(dags.documents(self._connection, [held.version_id])[held.version_id])
        return tick_of_known(self._connection, document, before, ticks, now)

    def _refill(self, parsed: ParsedDag) -> dict[str, Any]:
        """The columns of the next tick of a DAG that did not change, when its timetable is the author's own."""
        ticks = self._ticks(parsed)
        if ticks is None:
            return {}
        columns = tick_of_known(self._connection, decode(parsed.document), None, ticks, self._context.now)
        self._outcome.changed = self._outcome.changed or bool(columns)
        return columns

    def _ticks(self, parsed: ParsedDag) -> TickList | None:
        if parsed.ticks is None:
            return None
        ticks = self._work.ticks[parsed.dag_id] = TickList.from_json(parsed.ticks)
        return ticks

    def _tell(self, kind: EventKind, dag_id: str, detail: dict[str, Any]) -> None:
        self._work.events.append(Event(kind=kind, at=self._context.now, actor=ACTOR, dag_id=dag_id, detail=detail))

    # --- the rest --------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        dags.add_dags(self._connection, self._work.new_dags)
        for rows in self._work.changes.values():
            dags.change_dags(self._connection, rows)
        dags.add_versions(self._connection, self._work.versions, self._context.now)
        schedules.forget_ticks(self._connection, [version.dag_id for version in self._work.versions])
        for dag_id, ticks in self._work.ticks.items():
            schedules.save_ticks(self._connection, dag_id, ticks, self._context.now)
        events.append(self._connection, self._work.events)

    def _deactivate_gone(self, results: Sequence[ParseResult]) -> None:
        """Deactivate the DAGs that files had and no longer define. A broken file changes nothing."""
        files = {result.file for result in results if not result.is_broken}
        known = dags.dags_of_files(self._connection, self._context.source, files)
        gone = [dag_id for dag_id, file in known if dag_id not in self._kept[file]]
        if gone:
            deactivate(self._connection, gone, "Its file no longer defines it.", self._context.now)
            self._outcome.changed = True

    def _note_errors(self, results: Sequence[ParseResult]) -> None:
        good = [result.file for result in results if not result.errors]
        dags.clear_import_errors(self._connection, self._context.source, good)
        for result in results:
            if result.errors:
                row = error_row(self._context.source, result)
                dags.set_import_error(self._connection, row, self._context.now)

    def _note_parsed(self, results: Sequence[ParseResult]) -> None:
        self._outcome.parsed = [
            ParsedFileRow(
                file=result.file,
                fingerprint=self._context.fingerprints.of(result.dependencies),
                dependencies={
                    **asdict(result.dependencies),
                    "dags": [dag.dag_id for dag in result.dags],
                    "reparse": _reparse(result),
                },
                parsed_at=self._context.now,
            )
            for result in results
        ]
        dags.save_parsed_files(self._connection, self._context.source, self._outcome.parsed)


def deactivate(connection: Connection, dag_ids: Collection[str], reason: str, now: datetime) -> list[str]:
    """Deactivate DAGs and write down why.

    :returns: those that were active until now.
    """
    gone = dags.deactivate(connection, dag_ids)
    detail = {"reason": reason}
    told = [Event(kind=EventKind.DAG_DEACTIVATED, at=now, actor=ACTOR, dag_id=dag_id, detail=detail) for dag_id in gone]
    events.append(connection, told)
    return gone


def error_row(source: str, result: ParseResult) -> ImportErrorRow:
    """The errors of a file as the one row that a file has."""
    first = result.errors[0]
    return ImportErrorRow(
        source=source,
        file=result.file,
        line=first.line,
        message="\n".join(error.message for error in result.errors),
        traceback="\n".join(filter(None, (error.traceback for error in result.errors))),
    )


def _is_change(held: HeldDag, version: NewVersion) -> bool:
    now = (version.document_hash, version.code_hash, version.file)
    return held.version_id is None or (held.document_hash, held.code_hash, held.version_file) != now


def _place(owner: tuple[str, str]) -> str:
    source, file = owner
    return f"{file} of {source}" if source != "dags" else file


def _reparse(result: ParseResult) -> float | None:
    """The shortest time after which one of the DAGs wants its file parsed again, in seconds."""
    asked = [json.loads(dag.document).get("reparse") for dag in result.dags]
    return min((seconds for seconds in asked if seconds), default=None)
