"""Whose the logs are that workers send."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, func, select

from clockmill.protocols.logs import LogOwner
from clockmill.storage.tables import attempt, dag_run, supervisor, task_instance

_A, _R, _T = attempt.c, dag_run.c, task_instance.c

_OWNERS = (
    select(_A.id, _A.token, _A.try_number, _A.callback_id, _R.dag_id, _R.run_id, _T.task_id, _T.map_index)
    .join(dag_run, _R.id == _A.dag_run_id)
    .outerjoin(task_instance, _T.id == _A.task_instance_id)
    .where(_A.id.in_(bindparam("ids", expanding=True)))
)
_HOSTS = (
    # Long gone workers are forgotten; their ids begin with the names of their hosts.
    select(_A.id, func.coalesce(supervisor.c.host, _A.supervisor_id).label("host"))
    .outerjoin(supervisor, supervisor.c.id == _A.supervisor_id)
    .where(_A.supervisor_id.is_not(None), _A.id.in_(bindparam("ids", expanding=True)))
)


def owners_of(connection: Connection, attempt_ids: Collection[str]) -> dict[tuple[str, str], LogOwner]:
    """Which try or callback attempts belong to, also when they are over, by their ids and tokens."""
    rows = connection.execute(_OWNERS, {"ids": sorted(set(attempt_ids))})
    return {
        (row.id, row.token): LogOwner(
            dag_id=row.dag_id,
            run_id=row.run_id,
            task_id=row.task_id or "",
            map_index=-1 if row.map_index is None else row.map_index,
            try_number=row.try_number,
            callback_id=row.callback_id,
        )
        for row in rows
    }


def hosts_of(connection: Connection, attempt_ids: list[str]) -> dict[str, str]:
    """On which machines attempts ran, as far as they were claimed."""
    return {row.id: row.host for row in connection.execute(_HOSTS, {"ids": attempt_ids})}
