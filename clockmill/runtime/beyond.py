"""What lies beyond a DAG that is run in this process: other runs and DAGs, of which nobody knows anything here."""

from __future__ import annotations

from clockmill.protocols import StatesQuery, StatesSeen
from clockmill.state import RunState, TaskState


def states_beyond(query: StatesQuery) -> StatesSeen:
    """Every run and task asked for, as if it had succeeded: ``dag.test()`` waits for nothing outside of its DAG."""
    names = [*(query.task_ids or ()), *([query.group_id] if query.group_id else ())]
    tasks = {name: {TaskState.SUCCESS.value: 1} for name in names}
    asked: list[tuple[str, str | None]] = [(name, None) for name in query.run_ids or ()]
    asked = asked or [("", date) for date in query.logical_dates or ()]
    return StatesSeen(
        is_known=True,
        runs=[
            {"run_id": name, "logical_date": date, "state": RunState.SUCCESS.value, "tasks": dict(tasks)}
            for name, date in asked
        ],
    )
