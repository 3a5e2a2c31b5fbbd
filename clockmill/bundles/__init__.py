"""Snapshots of DAG folders: content-addressed, immutable, materialised read-only.

Nothing here knows the database; contents that this host lacks come through a callable.
"""

from clockmill.bundles.fetched import FetchedBundles
from clockmill.bundles.ignore import IGNORE_FILE
from clockmill.bundles.manifest import Bundle, FileEntry
from clockmill.bundles.snapshot import BundleTooLarge, FolderBusy, Snapshot, Snapshotter
from clockmill.bundles.store import BundleIncomplete, BundleStore, Fetch

__all__ = [
    "IGNORE_FILE",
    "Bundle",
    "BundleIncomplete",
    "BundleStore",
    "BundleTooLarge",
    "Fetch",
    "FetchedBundles",
    "FileEntry",
    "FolderBusy",
    "Snapshot",
    "Snapshotter",
]
