"""What becomes of executors that the configuration names no more."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from clockmill.executors.base import BrokeredExecutor, Executor
from clockmill.ids import new_token
from clockmill.scheduler.workspace import Workspace
from clockmill.storage.withdrawals import withdraw_offers

log = logging.getLogger(__name__)

#: What a supervisor of an executor that is no longer chosen may take to end, in seconds.
_ANY_TIME = timedelta(days=3650).total_seconds()


def retire(workspace: Workspace, retired: Mapping[str, Executor]) -> None:
    """Let what these executors run end, and give them nothing new; call it once they have started.

    Supervisors leave after their last attempt. Workers are told as before what is to be stopped; what none of them has
    claimed is taken back, because nobody may ever do so.
    """
    brokered = []
    for name, executor in retired.items():
        if isinstance(executor, BrokeredExecutor):
            executor.drain()
            brokered.append(name)
        else:
            executor.stop(_ANY_TIME)
    if brokered:
        _withdraw(workspace, brokered)


def _withdraw(workspace: Workspace, names: list[str]) -> None:
    token = new_token()
    reason = f"No worker had claimed it when {' and '.join(sorted(names))} left [core] executor."
    count = workspace.database.write(lambda connection: withdraw_offers(connection, names, token, reason))
    if count:
        log.info("%d attempts that no worker of %s has claimed are taken back", count, ", ".join(sorted(names)))
