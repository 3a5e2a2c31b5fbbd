"""A branch by the day of the week."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from clockmill.model import checks
from clockmill.model.context import Context
from clockmill.model.weekday import WeekDay, week_days
from clockmill.operators.branch import BaseBranchOperator


class BranchDayOfWeekOperator(BaseBranchOperator):
    """Go one way on some days of the week, in the time zone of the DAG, and another way on the others.

    :param follow_task_ids_if_true: the ids of the tasks or groups to follow on those days.
    :param follow_task_ids_if_false: and those on the others.
    :param week_day: a day or several, by name or as :class:`~clockmill.model.weekday.WeekDay`.
    :param use_task_logical_date: whether the day of the logical date counts, and not today.
    """

    def __init__(
        self,
        *,
        follow_task_ids_if_true: str | Iterable[str],
        follow_task_ids_if_false: str | Iterable[str],
        week_day: Any,
        use_task_logical_date: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.follow_task_ids_if_true = follow_task_ids_if_true
        self.follow_task_ids_if_false = follow_task_ids_if_false
        owner = f"BranchDayOfWeekOperator {self.task_id!r}"
        self.week_day: frozenset[WeekDay] = checks.checked(owner, {"week_day": week_days}, {"week_day": week_day})[
            "week_day"
        ]
        self.use_task_logical_date = use_task_logical_date

    def choose_branch(self, context: Context) -> str | Iterable[str]:
        """The ids for the day that it is."""
        moment: datetime = context["logical_date"] if self.use_task_logical_date else context["ti"].clock.now()
        local = moment.astimezone(self.local_zone())
        return self.follow_task_ids_if_true if local.isoweekday() in self.week_day else self.follow_task_ids_if_false
