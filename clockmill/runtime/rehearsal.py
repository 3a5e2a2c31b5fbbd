"""An attempt of a task that does nothing, run by a zygote before it forks.

What Python learns at the first run of a piece of code, it writes into the memory of that code. Learnt here once, it is
shared by all children; learnt there, every child copies the pages that it writes to.
"""

from __future__ import annotations

import socket

from clockmill.clock import SystemClock
from clockmill.host.wire import encode
from clockmill.model.dag import DAG
from clockmill.operators.python import PythonOperator
from clockmill.protocols import Workload
from clockmill.runtime import pipeline
from clockmill.runtime.taskproc_channel import SocketChannel

_TIMES = 3
_MOMENT = "2000-01-01T00:00:00.000000+00:00"
_RUN = {
    "run_id": "rehearsal",
    "run_type": "scheduled",
    "logical_date": _MOMENT,
    "data_interval_start": _MOMENT,
    "data_interval_end": _MOMENT,
    "run_after": _MOMENT,
    "conf": {},
}


def rehearse() -> None:
    """Run it, with its output going where that of this process goes."""
    with DAG("rehearsal", schedule=None, auto_register=False) as dag:
        PythonOperator(task_id="nothing", python_callable=lambda: None)
    for _ in range(_TIMES):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(encode([_workload().to_json()]))
            channel = SocketChannel(theirs, SystemClock())
            channel.finish(pipeline.execute(channel.workload(), load=lambda: dag, channel=channel))


def _workload() -> Workload:
    return Workload(
        attempt_id="0" * 32,
        token="0" * 32,
        dag_id="rehearsal",
        run_id="rehearsal",
        task_id="nothing",
        bundle="",
        bundle_path="",
        file="",
        log_path="",
        context={"dag_run": _RUN, "params": {}, "max_tries": 1},
    )
