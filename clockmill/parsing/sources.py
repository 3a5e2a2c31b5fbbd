"""The folders that DAG files come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import clockmill
from clockmill.bundles import BundleStore, Snapshot, Snapshotter
from clockmill.clock import Clock
from clockmill.config import Settings
from clockmill.storage.dags import ParsedFileRow

DAGS, EXAMPLES = "dags", "examples"

_EXAMPLES_FOLDER = Path(clockmill.__file__).parent / "dags"


@dataclass
class Source:
    """One folder, and what is known of it in this process.

    :param name: unique; stored with everything that comes from it.
    :param parsed: what each of its files was parsed from; None before it was read from the database.
    :param stored: files of which the database knows something.
    :param snapshot: the last one that was taken.
    :param problems: what could not be seen in it, by path; told as import errors.
    """

    name: str
    root: Path
    snapshotter: Snapshotter
    parsed: dict[str, ParsedFileRow] | None = None
    stored: set[str] = field(default_factory=set)
    snapshot: Snapshot | None = None
    problems: dict[str, str] = field(default_factory=dict)

    def has(self, file: str) -> bool:
        """Whether a file was there when we looked last; True when we could not look properly."""
        if self.snapshot is None or not self.snapshot.is_healthy:
            return True
        return file in self.snapshot.bundle.files


def make_sources(settings: Settings, store: BundleStore, clock: Clock) -> list[Source]:
    """The DAG folder, and the examples if they are wanted."""
    folders = {DAGS: settings.dags_folder}
    if settings.core.load_examples:
        folders[EXAMPLES] = _EXAMPLES_FOLDER
    most = settings.dags.max_bundle_mb
    return [Source(name, root, Snapshotter(root, store, clock, max_mb=most)) for name, root in folders.items()]
