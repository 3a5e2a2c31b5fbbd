"""The run before, as a gate that the progress of a run asks, and as a person does who asks why."""

from __future__ import annotations

from collections.abc import Mapping

from clockmill.serde import Document
from clockmill.state import Decision, PastRule, TaskState, Verdict, judge_past
from clockmill.storage.engine import Connection
from clockmill.storage.past import PreviousRun, previous_run, states_of_tasks
from clockmill.storage.records import RunRow


def past_rules(document: Document) -> dict[str, PastRule]:
    """What the tasks of a DAG version ask of the run before; a task that asks nothing is missing."""
    if not any(task.depends_on_past or task.wait_for_downstream for task in document.tasks):
        return {}
    graph = document.graph()
    return {
        task.task_id: PastRule(
            task_id=task.task_id,
            below=graph[task.task_id].downstream if task.wait_for_downstream else (),
            ignore_first=task.ignore_first_depends_on_past,
            before_skipping=task.wait_for_past_depends_before_skipping,
        )
        for task in document.tasks
        if task.depends_on_past or task.wait_for_downstream
    }


class PastGate:
    """Asked before a decision about a task of one run is carried out. It reads the run before when first asked.

    :param rules: of the run's version.
    """

    def __init__(self, connection: Connection, run: RunRow, rules: Mapping[str, PastRule]) -> None:
        self._connection = connection
        self._run = run
        self._rules = rules
        self._previous: PreviousRun | None = None
        self._states: Mapping[str, list[TaskState]] | None = None
        #: The tasks that it held back, with the tasks of the run before that each waits for.
        self.held: dict[str, tuple[str, ...]] = {}

    @property
    def previous(self) -> PreviousRun | None:
        """The run before, if it was asked for and there is one."""
        return self._previous

    def __call__(self, task_id: str, decision: Decision) -> Verdict | None:
        """None lets the decision pass; a verdict holds it back and says why."""
        rule = self._rules.get(task_id)
        if rule is None or not rule.holds(decision):
            return None
        states = self._read()
        if self._previous is None:
            return None
        answer = judge_past(rule, self._previous.run_id, states)
        if answer.verdict is not None:
            self.held[task_id] = answer.waits_for
        return answer.verdict

    def _read(self) -> Mapping[str, list[TaskState]]:
        if self._states is None:
            self._previous = previous_run(self._connection, self._run)
            names = {name for rule in self._rules.values() for name in (rule.task_id, *rule.below)}
            found = self._previous
            self._states = {} if found is None else states_of_tasks(self._connection, found.id, names)
        return self._states
