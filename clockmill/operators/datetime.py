"""A branch by the time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, tzinfo
from typing import Any

from clockmill.errors import DagDefinitionError
from clockmill.model import checks
from clockmill.model.context import Context
from clockmill.operators.branch import BaseBranchOperator

Bound = datetime | time | None


class BranchDateTimeOperator(BaseBranchOperator):
    """Go one way between two times, both included, and another way outside of them.

    :param follow_task_ids_if_true: the ids of the tasks or groups to follow between them.
    :param follow_task_ids_if_false: and those outside of them.
    :param target_lower: a datetime, or a time of any day; without an offset, in the time zone of the DAG. Open when
        None.
    :param target_upper: likewise. When both are times of day and this is the earlier one, midnight lies between them.
    :param use_task_logical_date: whether the logical date of the run is looked at, and not the present.
    """

    def __init__(
        self,
        *,
        follow_task_ids_if_true: str | Iterable[str],
        follow_task_ids_if_false: str | Iterable[str],
        target_lower: Bound,
        target_upper: Bound,
        use_task_logical_date: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        owner = f"BranchDateTimeOperator {self.task_id!r}"
        self.follow_task_ids_if_true = follow_task_ids_if_true
        self.follow_task_ids_if_false = follow_task_ids_if_false
        bounds = {"target_lower": target_lower, "target_upper": target_upper}
        checks.checked(owner, dict.fromkeys(bounds, _bound), bounds)
        if target_lower is None and target_upper is None:
            raise DagDefinitionError(f"{owner}: give target_lower, target_upper, or both.")
        self.target_lower = target_lower
        self.target_upper = target_upper
        self.use_task_logical_date = use_task_logical_date

    def choose_branch(self, context: Context) -> str | Iterable[str]:
        """The ids for the time that it is."""
        moment: datetime = context["logical_date"] if self.use_task_logical_date else context["ti"].clock.now()
        zone = self.local_zone()
        is_between = _is_between(moment, self.target_lower, self.target_upper, zone)
        return self.follow_task_ids_if_true if is_between else self.follow_task_ids_if_false


def _is_between(moment: datetime, lower: Bound, upper: Bound, zone: tzinfo) -> bool:
    after = lower is None or _reached(moment, lower, zone)
    before = upper is None or not _passed(moment, upper, zone)
    if isinstance(lower, time) and isinstance(upper, time) and upper < lower:
        return after or before
    return after and before


def _reached(moment: datetime, bound: datetime | time, zone: tzinfo) -> bool:
    if isinstance(bound, time):
        return _time_of(moment, bound, zone) >= bound.replace(tzinfo=None)
    return moment >= _aware(bound, zone)


def _passed(moment: datetime, bound: datetime | time, zone: tzinfo) -> bool:
    if isinstance(bound, time):
        return _time_of(moment, bound, zone) > bound.replace(tzinfo=None)
    return moment > _aware(bound, zone)


def _time_of(moment: datetime, bound: time, zone: tzinfo) -> time:
    return moment.astimezone(bound.tzinfo or zone).time()


def _aware(bound: datetime, zone: tzinfo) -> datetime:
    return bound if bound.tzinfo else bound.replace(tzinfo=zone)


def _bound(value: Any) -> Any:
    if value is not None and not isinstance(value, datetime | time):
        raise ValueError(f"must be a datetime or a time, not {value!r}")
    return value
