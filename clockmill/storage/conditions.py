"""Conditions that many statements share, spelled so that the partial indexes on live rows serve them."""

from __future__ import annotations

from clockmill.state import ACTIVE_RUN_STATES, FINISHED_RUN_STATES, LIVE_ATTEMPT_STATES
from clockmill.storage.tables import attempt, dag_run, lit

#: The attempt is not over: it holds its slots.
LIVE_ATTEMPT = attempt.c.state.in_([lit(state) for state in sorted(LIVE_ATTEMPT_STATES)])
#: The run is queued or running.
ACTIVE_RUN = dag_run.c.state.in_([lit(state) for state in sorted(ACTIVE_RUN_STATES)])
#: The run is over.
FINISHED_RUN = dag_run.c.state.in_([lit(state) for state in sorted(FINISHED_RUN_STATES)])
