"""Keeping the DAGs of one folder in the database equal to its files."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import clockmill
from clockmill.bundles import Bundle, BundleStore, BundleTooLarge, FolderBusy, Snapshot
from clockmill.clock import Clock, iso
from clockmill.config import Settings
from clockmill.parsing.crew import ParsingCrew
from clockmill.parsing.fingerprint import Fingerprints
from clockmill.parsing.results import Dependencies, ParseResult, failure
from clockmill.parsing.sources import Source
from clockmill.parsing.sync import SyncContext, deactivate, sync_results
from clockmill.storage import bundles, dags, schedules
from clockmill.storage.dags import ImportErrorRow, ParsedFileRow
from clockmill.storage.engine import Connection, Database, DatabaseUnavailable

T = TypeVar("T")

log = logging.getLogger(__name__)

#: The file under which errors of a whole folder are told.
WHOLE_FOLDER = "."

_BATCH = 50
_BATCH_SECONDS = 0.5
_CONTENT_BATCH_BYTES = 8 << 20
_FORGET_AT_ONCE = 500
#: How often we look for DAGs that are short of ticks, and how long a file that gave none is left alone; seconds.
_SHORT_LOOK, _SHORT_PAUSE = 5.0, 60.0


class FolderKeeper:
    """Looks at a folder, has parsed what changed, and stores what came of it.

    :param sources: all folders, because a DAG belongs to the first file of any of them that defines it.
    :param wake: called after each commit that a scheduler should know of.
    :param beat: called between the steps of long work.
    :param is_stopped: looked at between the steps of long work.
    :param hold: begins each transaction that changes anything, and raises when this process must not.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        settings: Settings,
        *,
        store: BundleStore,
        crew: ParsingCrew,
        sources: Collection[Source],
        wake: Callable[[], None],
        beat: Callable[[], None],
        is_stopped: Callable[[], bool],
        hold: Callable[[Connection], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._store = store
        self._crew = crew
        self._sources = {source.name: source for source in sources}
        self._wake = wake
        self._beat = beat
        self._is_stopped = is_stopped
        self._hold = hold
        self._short: set[tuple[str, str]] = set()
        self._short_asked: dict[tuple[str, str], float] = {}
        self._short_look_due = 0.0

    def _write(self, work: Callable[[Connection], T]) -> T:
        def held(connection: Connection) -> T:
            self._hold(connection)
            return work(connection)

        return self._database.write(held)

    # --- what is known ---------------------------------------------------------------------------------------------

    def read_known(self) -> None:
        """Read from the database what files were parsed from; what others changed there is found out here.

        A file is forgotten, and parsed again, when somebody deleted one of its DAGs. Folders that are no longer used
        lose their DAGs.
        """
        stored = self._database.read(dags.known_files)
        for source in self._sources.values():
            source.parsed = self._database.read(partial(dags.parsed_files, source=source.name))
            source.stored = {file for name, file in stored if name == source.name}
            theirs = {dag_id: row.file for row in source.parsed.values() for dag_id in row.dependencies["dags"]}
            for dag_id in self._database.read(partial(dags.missing_dags, dag_ids=theirs)):
                source.parsed.pop(theirs[dag_id], None)
        for name in sorted({name for name, _ in stored} - self._sources.keys()):
            files = [file for each, file in stored if each == name]
            self._forget(name, files, f"The folder {name!r} is no longer used.")

    def restore_bundles(self) -> None:
        """Materialise, from the database, bundles that tasks may need and that this host does not have."""
        for bundle_hash in sorted(self._database.read(bundles.needed_bundles)):
            if self._store.path(bundle_hash).is_dir():
                continue
            manifest = self._database.read(partial(bundles.load_manifest, bundle_hash=bundle_hash))
            if manifest is not None:
                self._store.materialise(Bundle.from_manifest(manifest), self._fetch)

    def _fetch(self, hashes: Iterable[str]) -> dict[str, bytes]:
        return self._database.read(partial(bundles.read_contents, hashes=list(hashes)))

    def is_reparse_due(self) -> bool:
        """Whether a file asked to be parsed again by now although nothing changed."""
        return bool(self._short) or any(
            self._wants_reparse(row) for source in self._sources.values() for row in (source.parsed or {}).values()
        )

    def _wants_reparse(self, row: ParsedFileRow) -> bool:
        wanted = [self._settings.dags.reparse_interval_seconds, row.dependencies.get("reparse") or 0.0]
        shortest = min((seconds for seconds in wanted if seconds), default=None)
        return shortest is not None and self._clock.now() >= row.parsed_at + timedelta(seconds=shortest)

    def look_for_short(self) -> None:
        """Find, now and then, the files of DAGs that will soon have used up the ticks that were stored of them."""
        now = self._clock.monotonic()
        if now < self._short_look_due:
            return
        self._short_look_due = now + _SHORT_LOOK
        short = set(self._database.read(partial(schedules.short_of_ticks, now=self._clock.now())))
        self._short_asked = {file: at for file, at in self._short_asked.items() if file in short}
        self._short = {file for file in short if now >= self._short_asked.get(file, now)}
        self._short_asked |= dict.fromkeys(self._short, now + _SHORT_PAUSE)

    # --- a look ----------------------------------------------------------------------------------------------------

    def look(self, source: Source) -> None:
        """Bring the database to what the folder says now."""
        if source.parsed is None:
            self.read_known()
        try:
            snapshot = source.snapshotter.take()
        except FolderBusy as error:
            log.info("a DAG folder does not rest", extra={"source": source.name, "reason": str(error)})
            return
        except BundleTooLarge as error:
            self._tell_problems(source, {WHOLE_FOLDER: str(error)})
            return
        source.snapshot = snapshot
        self._tell_problems(source, snapshot.problems)
        due = list(self._due(source, snapshot))
        if due:
            self._parse(source, snapshot, due)
        if snapshot.is_healthy and not self._is_stopped():
            self._forget_missing(source, snapshot)

    def _due(self, source: Source, snapshot: Snapshot) -> Iterator[str]:
        """The files to parse, in order: new ones, changed ones, and those whose time has come."""
        prints = self._fingerprints(snapshot.bundle)
        known = source.parsed or {}
        for file in sorted(file for file in snapshot.bundle.files if file.endswith(".py")):
            row = known.get(file)
            is_short = (source.name, file) in self._short
            if row is None or is_short or self._wants_reparse(row) or prints.of(_needs(row)) != row.fingerprint:
                self._short.discard((source.name, file))
                yield file

    def _fingerprints(self, bundle: Bundle) -> Fingerprints:
        python = ".".join(map(str, sys.version_info[:2]))
        return Fingerprints(bundle, f"{clockmill.__version__} {python} {self._settings.core.executor}")

    # --- problems of the folder ------------------------------------------------------------------------------------

    def _tell_problems(self, source: Source, problems: dict[str, str]) -> None:
        """Show what cannot be seen as import errors, and no longer what can be seen again."""
        if problems == source.problems:
            return
        healed = source.problems.keys() - problems.keys()
        rows = [
            ImportErrorRow(source=source.name, file=file, line=None, message=text) for file, text in problems.items()
        ]
        self._write(partial(_store_problems, source=source.name, rows=rows, healed=healed, now=self._clock.now()))
        for file in {*healed, *problems}:
            (source.parsed or {}).pop(file, None)
        source.problems = dict(problems)

    # --- parsing ---------------------------------------------------------------------------------------------------

    def _parse(self, source: Source, snapshot: Snapshot, due: list[str]) -> None:
        started = self._clock.monotonic()
        root = self._store.materialise(snapshot.bundle)
        context = self._context(source, snapshot)
        waiting: list[ParseResult] = []
        pending = set(due)
        now = iso(self._clock.now())
        positions = self._database.read(partial(schedules.tick_positions, source=source.name, files=set(due)))
        results = self._crew.parse(root, due, self._is_stopped, now=now, positions=positions)
        for batch in self._batches(results):
            pending -= {result.file for result in batch}
            late = self._sync(source, replace(context, pending=pending), batch)
            pending |= {result.file for result in late}
            waiting += late
            self._beat()
        if waiting and not self._is_stopped():
            self._sync(source, context, waiting)
        seconds = round(self._clock.monotonic() - started, 3)
        log.info("DAG files parsed", extra={"source": source.name, "files": len(due), "seconds": seconds})

    def _batches(self, results: Iterable[ParseResult]) -> Iterator[list[ParseResult]]:
        """The results in batches: not too large, and not so slow that a person waits for them."""
        batch: list[ParseResult] = []
        begun = self._clock.monotonic()
        for result in results:
            batch.append(result)
            if len(batch) >= _BATCH or self._clock.monotonic() - begun >= _BATCH_SECONDS:
                yield batch
                batch, begun = [], self._clock.monotonic()
        if batch:
            yield batch

    def _context(self, source: Source, snapshot: Snapshot) -> SyncContext:
        return SyncContext(
            source=source.name,
            bundle_id=self._store_bundle(source.name, snapshot.bundle),
            fingerprints=self._fingerprints(snapshot.bundle),
            defaults=self._settings.core,
            is_present=lambda name, file: name in self._sources and self._sources[name].has(file),
            now=self._clock.now(),
        )

    def _store_bundle(self, name: str, bundle: Bundle) -> int:
        """Store a bundle with its contents, a few megabytes at a time, so that nobody waits long for the database."""
        hashes = {entry.sha256: entry.size for entry in bundle.files.values()}
        batch: dict[str, bytes] = {}
        size = 0
        for sha256 in sorted(self._database.read(partial(bundles.missing_contents, hashes=hashes))):
            batch[sha256] = self._store.read(sha256)
            size += hashes[sha256]
            if size >= _CONTENT_BATCH_BYTES:
                self._write(partial(bundles.add_contents, contents=batch))
                batch, size = {}, 0
        self._write(partial(bundles.add_contents, contents=batch))
        at = self._clock.now()
        return self._write(lambda c: bundles.store_bundle(c, name, bundle.hash, bundle.manifest, at))

    def _sync(self, source: Source, context: SyncContext, results: list[ParseResult]) -> list[ParseResult]:
        """Store results in one transaction; when the database refuses them, one by one.

        :returns: those that have to wait for others.
        """
        context = replace(context, now=self._clock.now())
        try:
            outcome = self._write(partial(sync_results, context=context, results=results))
        except DatabaseUnavailable:
            raise
        except dags.REFUSALS as error:
            if len(results) > 1:
                return [late for result in results for late in self._sync(source, context, [result])]
            log.exception("the DAGs of a file cannot be stored", extra={"file": results[0].file})
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            refused = failure(results[0].file, f"The DAGs of the file cannot be stored: {reason}")
            outcome = self._write(partial(sync_results, context=context, results=[refused]))
        for row in outcome.parsed:
            if source.parsed is not None:
                source.parsed[row.file] = row
        if outcome.changed:
            self._wake()
        return outcome.deferred

    # --- what is gone ----------------------------------------------------------------------------------------------

    def _forget_missing(self, source: Source, snapshot: Snapshot) -> None:
        known = {*(source.parsed or ()), *source.stored}
        missing = sorted(known - snapshot.bundle.files.keys())
        if missing:
            self._forget(source.name, missing, "Its file is gone.")
            source.stored.difference_update(missing)
            for file in missing:
                (source.parsed or {}).pop(file, None)

    def _forget(self, name: str, files: list[str], reason: str) -> None:
        for first in range(0, len(files), _FORGET_AT_ONCE):
            part = files[first : first + _FORGET_AT_ONCE]
            now = self._clock.now()
            if self._write(partial(_forget_files, source=name, files=part, reason=reason, now=now)):
                self._wake()


def _needs(row: ParsedFileRow) -> Dependencies:
    stored = row.dependencies
    return Dependencies(files=tuple(stored["files"]), folders=tuple(stored["folders"]), whole=stored["whole"])


def _store_problems(
    connection: Connection, source: str, rows: list[ImportErrorRow], healed: Collection[str], now: datetime
) -> None:
    dags.clear_import_errors(connection, source, healed)
    for row in rows:
        dags.set_import_error(connection, row, now)
    dags.forget_parsed_files(connection, source, {*healed, *(row.file for row in rows)})


def _forget_files(connection: Connection, source: str, files: list[str], reason: str, now: datetime) -> bool:
    """Forget files that are gone; whether DAGs went with them."""
    gone = [dag_id for dag_id, _ in dags.dags_of_files(connection, source, files)]
    dags.clear_import_errors(connection, source, files)
    dags.forget_parsed_files(connection, source, files)
    return bool(deactivate(connection, gone, reason, now))
