"""DAG versions, decoded once: what the scheduler knows of a DAG."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from clockmill.actions.past import past_rules
from clockmill.bundles import Bundle, BundleIncomplete, BundleStore
from clockmill.model.param import NO_DEFAULT
from clockmill.serde import Document, TaskDoc, decode
from clockmill.serde.schedule import schedule_of
from clockmill.state import Backoff, Graph, PastRule
from clockmill.storage.bundles import load_manifest, read_contents
from clockmill.storage.engine import Connection
from clockmill.storage.versions import version
from clockmill.timetables import Schedule

log = logging.getLogger(__name__)

_KEPT = 500


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One DAG version, ready for decisions.

    :param bundle: the content hash of the bundle with its code.
    """

    version_id: int
    document: Document
    graph: Graph
    tasks: dict[str, TaskDoc]
    bundle: str
    file: str

    @cached_property
    def past(self) -> dict[str, PastRule]:
        """What its tasks ask of the run before; empty for most DAGs."""
        return past_rules(self.document)

    @property
    def schedule(self) -> Schedule:
        """When its runs are due."""
        return schedule_of(self.document)

    @property
    def dagrun_timeout(self) -> timedelta | None:
        """How long a run may take, or None for no limit."""
        seconds = self.document.dagrun_timeout
        return None if seconds is None else timedelta(seconds=seconds)

    def params(self, task_id: str | None, conf: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a task in a run with the configuration ``conf``: of the DAG, of the task, of the run.

        :param task_id: None for those of the run as a whole.
        """
        own = self.tasks[task_id].params if task_id in self.tasks else ()
        declared = (*self.document.params, *own)
        values = {param.name: param.default for param in declared if param.default is not NO_DEFAULT}
        return {**values, **conf}

    def backoff(self, task_id: str) -> Backoff:
        """How the tries of a task are spaced."""
        task = self.tasks[task_id]
        return Backoff(
            delay=task.retry_delay,
            backoff=task.retry_backoff,
            max_delay=task.max_retry_delay,
            jitter=task.retry_jitter,
        )


class Plans:
    """The plans used last; a version never changes, so nothing here grows old.

    :param bundles: where the code of a plan is put when this home does not have it, because it was parsed elsewhere.
    """

    def __init__(self, bundles: BundleStore) -> None:
        self._bundles = bundles
        self._plans: OrderedDict[int, Plan] = OrderedDict()

    def get(self, connection: Connection, version_id: int) -> Plan:
        """The plan of a version, read and decoded when it is not there yet."""
        plan = self._plans.get(version_id)
        if plan is None:
            plan = self._plans[version_id] = _read(connection, version_id)
            self._bring(connection, plan.bundle)
            if len(self._plans) > _KEPT:
                self._plans.popitem(last=False)
        self._plans.move_to_end(version_id)
        return plan

    def _bring(self, connection: Connection, bundle_hash: str) -> None:
        """Materialise a bundle; a task whose bundle cannot be had says so in its own log."""
        if self._bundles.path(bundle_hash).is_dir() or (manifest := load_manifest(connection, bundle_hash)) is None:
            return
        try:
            self._bundles.materialise(
                Bundle.from_manifest(manifest), lambda hashes: read_contents(connection, list(hashes))
            )
        except (BundleIncomplete, OSError):
            log.exception("bundle %s cannot be restored", bundle_hash)


def _read(connection: Connection, version_id: int) -> Plan:
    row = version(connection, version_id)
    document = decode(row.document)
    return Plan(
        version_id=version_id,
        document=document,
        graph=document.graph(),
        tasks={task.task_id: task for task in document.tasks},
        bundle=row.bundle,
        file=row.file,
    )
