"""An operator for work that only the newest run shall do."""

from __future__ import annotations

from clockmill.model.context import Context
from clockmill.model.operator import BaseOperator
from clockmill.state import RunType

_AUTOMATIC = frozenset({RunType.SCHEDULED.value, RunType.BACKFILL.value})


class LatestOnlyOperator(BaseOperator):
    """Skip the tasks directly below in every run but the newest: when the next tick of the schedule has passed already.

    The trigger rules decide about the tasks further below. A run that a person, a task or an asset made counts as the
    newest.
    """

    ui_color = "#e9ffdb"

    def execute(self, context: Context) -> None:
        """Leave out what is below, unless this is the newest run."""
        run, dag = context["dag_run"], self.dag
        if run.run_type not in _AUTOMATIC or dag is None:
            self.log.info("A run of type %s counts as the newest.", run.run_type)
            return
        following = dag.timetable.next_after(run.run_after)
        if following is None or following.run_after > context["ti"].clock.now():
            self.log.info("This is the newest run.")
            return
        self.log.info("The run of %s has come due since; what is below is left out.", following.run_after.isoformat())
        context["ti"].leave_out("direct")
