"""DAG files: found, snapshotted, imported in a process of their own, and stored.

No file of an author is ever imported in the process of :class:`DagProcessor`; what it needs of them arrives as JSON.
"""

from clockmill.parsing.processor import DagProcessor

__all__ = ["DagProcessor"]
