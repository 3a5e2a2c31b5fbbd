"""A sensor of runs of other DAGs, and of tasks in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

from clockmill.clock import iso
from clockmill.errors import DagDefinitionError, FailTask, NotFound, SkipTask, UsageError
from clockmill.model import checks
from clockmill.model.context import Context, call_with_context
from clockmill.model.operator import BaseOperator
from clockmill.protocols import StatesQuery
from clockmill.sensors.base import BaseSensorOperator
from clockmill.state import RunState, TaskState
from clockmill.triggers.external_task import Expected, Verdict, WorkflowTrigger


class ExternalTaskSensor(BaseSensorOperator):
    """Waits for the run of another DAG with the same logical date, or for tasks in it.

    :param external_dag_id: the DAG; templated, as are the tasks and the group.
    :param external_task_id: a task to wait for; the run as a whole when no task and no group is given.
    :param external_task_ids: several tasks. Of a mapped task, all instances are waited for.
    :param external_task_group_id: a group, for all of its tasks.
    :param allowed_states: what all of them must come to; ``success`` by default.
    :param skipped_states: one of them in such a state ends this task as skipped.
    :param failed_states: one of them in such a state fails this task, without another try. None by default: a failed
        task may be cleared and succeed then.
    :param execution_delta: how much earlier the logical date there is than the one here.
    :param execution_date_fn: gives the logical date there, or several, for the one here, its first argument; of the
        context it is given what its other parameters name.
    :param check_existence: whether to fail at once when there is no such DAG, task or group.
    """

    template_fields: Sequence[str] = (
        "external_dag_id",
        "external_task_id",
        "external_task_ids",
        "external_task_group_id",
    )
    ui_color = "#4db7db"
    can_defer: ClassVar[bool] = True

    def __init__(
        self,
        *,
        external_dag_id: Any,
        external_task_id: Any = None,
        external_task_ids: Any = None,
        external_task_group_id: Any = None,
        allowed_states: Iterable[str] | None = None,
        skipped_states: Iterable[str] | None = None,
        failed_states: Iterable[str] | None = None,
        execution_delta: timedelta | None = None,
        execution_date_fn: Callable[..., Any] | None = None,
        check_existence: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.external_dag_id = external_dag_id
        self.external_task_id = external_task_id
        self.external_task_ids = external_task_ids
        self.external_task_group_id = external_task_group_id
        self.allowed_states = list([TaskState.SUCCESS] if allowed_states is None else allowed_states)
        self.skipped_states = list(skipped_states or ())
        self.failed_states = list(failed_states or ())
        self.execution_delta = execution_delta
        self.execution_date_fn = execution_date_fn
        self.check_existence = check_existence
        self._is_checked = False
        self._check()

    def _check(self) -> None:
        owner = f"ExternalTaskSensor {self.task_id!r}"
        if self.external_task_id is not None and self.external_task_ids is not None:
            raise DagDefinitionError(f"{owner}: give external_task_id or external_task_ids, not both.")
        if self.execution_delta is not None and self.execution_date_fn is not None:
            raise DagDefinitionError(f"{owner}: give execution_delta or execution_date_fn, not both.")
        if self.execution_delta is not None and not isinstance(self.execution_delta, timedelta):
            raise DagDefinitionError(f"{owner}: execution_delta must be a timedelta, not {self.execution_delta!r}.")
        check = _states(TaskState if self._waits_for_tasks else RunState)
        names = ("allowed_states", "skipped_states", "failed_states")
        checks.checked(owner, dict.fromkeys(names, check), {name: getattr(self, name) for name in names})
        given = [*self.allowed_states, *self.skipped_states, *self.failed_states]
        if twice := next((state for state in given if given.count(state) > 1), None):
            raise DagDefinitionError(f"{owner}: the state {str(twice)!r} is given twice; it can mean one thing only.")

    @property
    def _waits_for_tasks(self) -> bool:
        given = (self.external_task_id, self.external_task_ids, self.external_task_group_id)
        return any(one is not None for one in given)

    @cached_property
    def _expected(self) -> Expected:
        return Expected(allowed=self.allowed_states, skipped=self.skipped_states, failed=self.failed_states)

    def poke(self, context: Context) -> bool:
        """Whether all that is waited for has come to its end.

        :raises FailTask: when something came to one of ``failed_states``.
        :raises SkipTask: when something came to one of ``skipped_states``.
        :raises NotFound: when it is checked for and does not exist.
        """
        query = self._query(context)
        seen = context["ti"].get_states(query)
        if query.check:
            self._check_existence(seen.is_known, seen.missing)
        elif not seen.is_known:
            self.log.warning("There is no DAG %r at present; the sensor waits for it.", query.dag_id)
        self._is_checked = True
        return self._conclude(self._expected.judge(query, seen))

    def make_trigger(self, context: Context) -> WorkflowTrigger:
        """What looks in the place of :meth:`poke`."""
        return WorkflowTrigger(
            external_dag_id=self.external_dag_id,
            logical_dates=self._dates(context),
            external_task_ids=self._task_ids(),
            external_task_group_id=self.external_task_group_id,
            allowed_states=[str(state) for state in self.allowed_states],
            failed_states=[str(state) for state in self.failed_states],
            skipped_states=[str(state) for state in self.skipped_states],
            poke_interval=self.poke_interval.total_seconds(),
        )

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """End as the trigger says."""
        self._conclude(Verdict(event["status"]))

    def _conclude(self, verdict: Verdict) -> bool:
        what = f"what it waits for in DAG {self.external_dag_id!r}"
        if verdict is Verdict.FAILED:
            raise FailTask(f"Some of {what} came to one of {', '.join(map(str, self.failed_states))}.")
        if verdict is Verdict.SKIPPED:
            raise SkipTask(f"Some of {what} came to one of {', '.join(map(str, self.skipped_states))}.")
        return verdict is Verdict.SUCCESS

    def _query(self, context: Context) -> StatesQuery:
        return StatesQuery(
            dag_id=self.external_dag_id,
            logical_dates=[iso(date) for date in self._dates(context)],
            task_ids=self._task_ids(),
            group_id=self.external_task_group_id,
            check=self.check_existence and not self._is_checked,
        )

    def _task_ids(self) -> list[str] | None:
        if self.external_task_id is not None:
            return [self.external_task_id]
        return None if self.external_task_ids is None else list(self.external_task_ids)

    def _dates(self, context: Context) -> list[datetime]:
        """The logical dates of the runs to look at."""
        if self.execution_date_fn is None:
            date: datetime = context["logical_date"]
            return [date - (self.execution_delta or timedelta(0))]
        given = call_with_context(self.execution_date_fn, [context["logical_date"]], {}, context)
        dates = list(given) if isinstance(given, Iterable) else [given]
        if not dates or not all(isinstance(date, datetime) and date.tzinfo for date in dates):
            raise UsageError(
                f"Task {self.task_id!r}: execution_date_fn must return a datetime with a time zone, or several, "
                f"not {given!r}."
            )
        return dates

    def _check_existence(self, is_known: bool, missing: Collection[str]) -> None:
        if not is_known:
            raise NotFound("DAG", self.external_dag_id)
        if missing:
            kind = "task group" if self.external_task_group_id in missing else "task"
            raise NotFound(f"{kind} in DAG {self.external_dag_id!r} of the name", sorted(missing)[0])


def _states(kind: type[TaskState] | type[RunState]) -> checks.Check:
    one = checks.one_of(kind)
    return lambda values: [one(value) for value in values]


class ExternalTaskMarker(BaseOperator):
    """Says in the DAG that a task of another DAG waits for this point; it does nothing.

    :param external_dag_id: the DAG that waits; templated, as is the task.
    :param external_task_id: the task in it that waits.
    :param logical_date: of the run in which it waits; templated.
    :param recursion_depth: taken for the files that have it, and not acted on.
    """

    template_fields: Sequence[str] = ("external_dag_id", "external_task_id", "logical_date")
    ui_color = "#4db7db"
    runs_nothing: ClassVar[bool] = True

    def __init__(
        self,
        *,
        external_dag_id: Any,
        external_task_id: Any,
        logical_date: Any = "{{ logical_date.isoformat() }}",
        recursion_depth: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.external_dag_id = external_dag_id
        self.external_task_id = external_task_id
        self.logical_date = logical_date
        self.recursion_depth = recursion_depth

    def execute(self, context: Context) -> None:
        """Do nothing."""
