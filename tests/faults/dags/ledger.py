"""What the tasks of these DAGs do: write down themselves what is executed, by no means of the program under test."""

import fcntl
import os
import time

from clockmill import get_current_context

LEDGER = "FAULT_LEDGER"


def note(kind: str, task: str) -> None:
    """Add one line that survives whatever happens next."""
    line = f"{kind} {os.environ['ATTEMPT_ID']} {task} {os.getpid()} {time.monotonic():.6f}\n"
    ledger = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, line.encode())
    os.fsync(ledger)
    os.close(ledger)


def be_alone(task: str) -> None:
    """Hold a lock until this process is gone; when another process of the same task has it, that is told."""
    path = f"{os.environ[LEDGER]}.locks/{task.replace('/', '~')}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        fcntl.flock(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note("OVERLAP", task)


def work(seconds: float = 0.0, gate: bool = False, failures: int = 0, reads: str = "") -> str:
    """Take some time, or until the gate opens; fail the first tries; hand on the id of this attempt twice.

    :param reads: a task whose value must be there then.
    """
    instance = get_current_context()["ti"]
    task = f"{instance.dag_id}/{instance.run_id}/{instance.task_id}"
    be_alone(task)
    note("START", task)
    if gate:
        while not os.path.exists(f"{os.environ[LEDGER]}.gate"):
            time.sleep(0.02)
    time.sleep(seconds)
    if reads and not instance.xcom_pull(task_ids=reads, key="proof"):
        raise RuntimeError(f"the value of {reads} is not there")
    instance.xcom_push(key="proof", value=os.environ["ATTEMPT_ID"])
    note("END", task)
    if instance.try_number <= failures:
        raise RuntimeError("this try is meant to fail")
    return os.environ["ATTEMPT_ID"]
