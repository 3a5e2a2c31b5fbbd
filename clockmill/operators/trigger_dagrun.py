"""An operator that triggers a run of another DAG."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from clockmill.clock import iso
from clockmill.errors import ClockmillError, DagDefinitionError, FailTask, RescheduleTask
from clockmill.ids import MAX_ID_LENGTH, id_problem
from clockmill.model import checks
from clockmill.model.arguments import Duration
from clockmill.model.context import Context
from clockmill.model.operator import BaseOperator
from clockmill.protocols import RunRequest, StatesQuery
from clockmill.state import RunState, RunType
from clockmill.triggers.external_task import DagStateTrigger

#: The XCom under which the id of the run is found.
TRIGGER_RUN_ID = "trigger_run_id"


class TriggeredRunFailed(ClockmillError):
    """The run that was triggered and waited for came to a state that is not wanted."""


class TriggerDagRunOperator(BaseOperator):
    """Trigger a run of a DAG, and wait for it if wanted. The XCom ``trigger_run_id`` has the id of the run.

    The run is made in the transaction that ends or suspends this task, once: its id is derived from this task
    instance, so a retry, a resumption or a crash finds the run that is there. While it waits, the task holds no slot.
    A run that cannot be made fails the task with the reason, and without another try, but for a DAG that is paused.

    :param trigger_dag_id: the DAG; templated, as are the next four.
    :param trigger_run_id: the id of the run, in place of the derived one.
    :param conf: the configuration of the run: JSON.
    :param logical_date: of the run; the moment at which it is made by default.
    :param run_after: when the run may begin; at once by default.
    :param reset_dag_run: clear a finished run of that id, so that it runs again; also one that an earlier try made.
    :param wait_for_completion: wait until the run has come to one of the states below.
    :param poke_interval: the time between two looks while waiting.
    :param allowed_states: in which this task succeeds; ``success`` by default.
    :param failed_states: in which it fails; ``failed`` by default.
    :param skip_when_already_exists: end as skipped when somebody else made a run of that id.
    :param fail_when_dag_is_paused: fail when the DAG is paused; a run of it would wait until it is not.
    :param deferrable: whether a trigger looks while it waits, and not this task from time to time.
    """

    template_fields: Sequence[str] = ("trigger_dag_id", "trigger_run_id", "logical_date", "run_after", "conf")
    template_fields_renderers = {"conf": "py"}
    ui_color = "#ffefeb"

    def __init__(
        self,
        *,
        trigger_dag_id: Any,
        trigger_run_id: Any = None,
        conf: Any = None,
        logical_date: Any = None,
        run_after: Any = None,
        reset_dag_run: bool = False,
        wait_for_completion: bool = False,
        poke_interval: Duration = 60,
        allowed_states: Iterable[str] | None = None,
        failed_states: Iterable[str] | None = None,
        skip_when_already_exists: bool = False,
        fail_when_dag_is_paused: bool = False,
        deferrable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.trigger_dag_id = trigger_dag_id
        self.trigger_run_id = trigger_run_id
        self.conf = conf
        self.logical_date = logical_date
        self.run_after = run_after
        self.reset_dag_run = reset_dag_run
        self.wait_for_completion = wait_for_completion
        given = {
            "poke_interval": poke_interval,
            "allowed_states": [RunState.SUCCESS] if allowed_states is None else allowed_states,
            "failed_states": [RunState.FAILED] if failed_states is None else failed_states,
        }
        stored = checks.checked(f"TriggerDagRunOperator {self.task_id!r}", _CHECKS, given)
        self.poke_interval: timedelta = stored["poke_interval"]
        self.allowed_states: list[str] = stored["allowed_states"]
        self.failed_states: list[str] = stored["failed_states"]
        self.skip_when_already_exists = skip_when_already_exists
        self.fail_when_dag_is_paused = fail_when_dag_is_paused
        self.deferrable = deferrable
        if deferrable and not wait_for_completion:
            raise DagDefinitionError(
                f"TriggerDagRunOperator {self.task_id!r}: deferrable says how to wait; give wait_for_completion=True."
            )

    def execute(self, context: Context) -> None:
        """Ask for the run; when it is to be waited for, look for it from the second time on.

        :raises FailTask: when an argument that was filled in does not fit; another try would fill in the same.
        :raises TriggeredRunFailed: when the run came to one of ``failed_states``.
        """
        ti = context["ti"]
        run_id = self._run_id(context)
        if ti.reschedules:
            self._look(context, run_id)
            return
        ti.request_run(self._request(run_id))
        ti.xcom_push(TRIGGER_RUN_ID, run_id)
        self.log.info("Asked for the run %s of DAG %s; it is made with the end of this.", run_id, self.trigger_dag_id)
        if not self.wait_for_completion:
            return
        if self.deferrable:
            self._defer(run_id)
        raise RescheduleTask(ti.clock.now() + self.poke_interval)

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """End as the run did.

        :raises TriggeredRunFailed: when it came to one of ``failed_states``.
        """
        for run_id, state in event.items():
            self._conclude(run_id, state)

    def _look(self, context: Context, run_id: str) -> None:
        query = StatesQuery(dag_id=self.trigger_dag_id, run_ids=[run_id])
        runs = context["ti"].get_states(query).runs
        if not runs:
            raise TriggeredRunFailed(f"The run {run_id!r} of DAG {self.trigger_dag_id!r} is gone.")
        if not self._conclude(run_id, runs[0]["state"]):
            raise RescheduleTask(context["ti"].clock.now() + self.poke_interval)

    def _conclude(self, run_id: str, state: str) -> bool:
        """Whether the run has come to a state in which this task succeeds."""
        if state in self.failed_states:
            raise TriggeredRunFailed(f"The run {run_id!r} of DAG {self.trigger_dag_id!r} came to the state {state}.")
        return state in self.allowed_states

    def _defer(self, run_id: str) -> None:
        trigger = DagStateTrigger(
            dag_id=self.trigger_dag_id,
            states=[str(state) for state in (*self.allowed_states, *self.failed_states)],
            run_ids=[run_id],
            poll_interval=self.poke_interval.total_seconds(),
        )
        self.defer(trigger=trigger, method_name="execute_complete")

    # --- what is asked for -----------------------------------------------------------------------------------------

    def _run_id(self, context: Context) -> str:
        if self.trigger_run_id is not None:
            if problem := id_problem("run", self.trigger_run_id):
                raise FailTask(f"Task {self.task_id!r}: {problem}")
            return str(self.trigger_run_id)
        return derived_run_id(context["ti"])

    def _request(self, run_id: str) -> RunRequest:
        if problem := id_problem("DAG", self.trigger_dag_id):
            raise FailTask(f"Task {self.task_id!r}: {problem}")
        return RunRequest(
            dag_id=self.trigger_dag_id,
            run_id=run_id,
            conf=self._conf(),
            logical_date=self._moment("logical_date"),
            run_after=self._moment("run_after"),
            reset=self.reset_dag_run,
            skip_existing=self.skip_when_already_exists,
            fail_paused=self.fail_when_dag_is_paused,
        )

    def _conf(self) -> dict[str, Any]:
        conf = {} if self.conf is None else self.conf
        if not isinstance(conf, Mapping):
            raise FailTask(f"Task {self.task_id!r}: conf must be a dictionary, not {conf!r}.")
        try:
            stored: dict[str, Any] = json.loads(json.dumps(dict(conf), allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise FailTask(f"Task {self.task_id!r}: conf cannot be stored as JSON: {error}.") from None
        return stored

    def _moment(self, name: str) -> str | None:
        value = getattr(self, name)
        if value is None:
            return None
        try:
            moment: datetime = checks.moment(value)
        except ValueError as error:
            raise FailTask(f"Task {self.task_id!r}: {name} {error}.") from None
        return iso(moment if moment.tzinfo else moment.replace(tzinfo=self.local_zone()))


def derived_run_id(ti: Any) -> str:
    """The id of the run that a task instance triggers: the same in each of its tries, and of no other task instance."""
    from hashlib import sha256

    names = [ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index)]
    digest = sha256("\0".join(names).encode()).hexdigest()[:12]
    head = f"{RunType.OPERATOR_TRIGGERED}__{ti.dag_id}.{ti.task_id}__{ti.run_id}"
    return f"{head[: MAX_ID_LENGTH - len(digest) - 2]}__{digest}".replace("..", ".-")


def _states(values: Any) -> list[str]:
    one = checks.one_of(RunState)
    return [one(value) for value in ([values] if isinstance(values, str) else values)]


_CHECKS: dict[str, checks.Check] = {
    "poke_interval": checks.duration,
    "allowed_states": _states,
    "failed_states": _states,
}
