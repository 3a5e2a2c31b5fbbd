"""The words with which the reasons of tasks and runs begin that ended early.

They are stored with the tasks, and read again: by them a rerun knows what was cut short and not left out.
"""

from __future__ import annotations

RUN_STOPPED = "run stopped"
RUN_MARKED_FAILED = "run marked failed"
#: The next run is due, and the DAG wants it in the place of this one.
OVERLAP_CANCEL = "overlap=cancel"
DAGRUN_TIMEOUT = "dagrun_timeout"
FAIL_FAST = "fail_fast"

#: No rule, branch or person left out a task that was skipped for one of these.
CUT_SHORT = (RUN_STOPPED, RUN_MARKED_FAILED, OVERLAP_CANCEL, DAGRUN_TIMEOUT, FAIL_FAST)
