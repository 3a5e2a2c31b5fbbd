"""The newest earlier run that succeeded, as a running task may ask for it."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from clockmill.clock import iso_or_none
from clockmill.state import RunState
from clockmill.storage.tables import attempt, dag_run, lit

_NAMES = ("data_interval_start", "data_interval_end", "start_date", "end_date")
_RUN = (
    select(dag_run.c.id, dag_run.c.dag_id, dag_run.c.logical_date)
    .join(attempt, attempt.c.dag_run_id == dag_run.c.id)
    .where(attempt.c.id == bindparam("attempt"))
)
_GOOD = select(*(dag_run.c[name] for name in _NAMES)).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.state == lit(RunState.SUCCESS)
)
_BY_DATE = (
    _GOOD.where(dag_run.c.logical_date < bindparam("date", type_=dag_run.c.logical_date.type))
    .order_by(dag_run.c.logical_date.desc())
    .limit(1)
)
_BY_AGE = _GOOD.where(dag_run.c.id < bindparam("run")).order_by(dag_run.c.id.desc()).limit(1)


def dates_of_previous_run(connection: Connection, attempt_id: str) -> dict[str, str | None]:
    """The dates of the newest run of the same DAG that succeeded, before that of an attempt; empty without one.

    Earlier is what has an earlier logical date; for a run without one, what was made earlier.
    """
    run = connection.execute(_RUN, {"attempt": attempt_id}).first()
    if run is None:
        return {}
    if run.logical_date is None:
        found = connection.execute(_BY_AGE, {"dag_id": run.dag_id, "run": run.id}).first()
    else:
        found = connection.execute(_BY_DATE, {"dag_id": run.dag_id, "date": run.logical_date}).first()
    return {} if found is None else {name: iso_or_none(getattr(found, name)) for name in _NAMES}
