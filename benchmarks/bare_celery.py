"""Celery by itself, as its documentation sets it up: a worker of its own program, and tasks that do next to nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROCESSES = 2

_RUN_SECONDS = 600.0
_POLL_SECONDS = 0.02

#: One short write for each task, so that the lines of two processes do not mix. The clock is one for all processes.
_APP = """
import os, time
from celery import Celery

app = Celery("bare_app", broker={broker!r})
app.conf.update(
    task_serializer="json", accept_content=["json"], task_ignore_result=True, broker_connection_retry_on_startup=True
)
times = os.open({times!r}, os.O_WRONLY | os.O_APPEND)

@app.task
def nothing(number):
    start = time.monotonic()
    os.write(times, b"%d %.6f %.6f\\n" % (number, start, time.monotonic()))
"""
#: Publishes as many tasks as each line of its input says, from a number on.
_PUBLISHER = """
import sys
from bare_app import nothing
for line in sys.stdin:
    first, tasks = map(int, line.split())
    for number in range(first, first + tasks):
        nothing.delay(number)
"""


class BareCelery:
    """A running worker, and a process that publishes to it.

    :param folder: with the application, the times and what the worker said.
    """

    def __init__(self, folder: Path, worker: subprocess.Popen[bytes], publisher: subprocess.Popen[bytes]) -> None:
        self._times = folder / "times"
        self._log = folder / "worker.log"
        self._worker = worker
        self._publisher = publisher
        self._done = 0

    def rate(self, tasks: int) -> float:
        """Publish so many tasks; tasks per second from the first start to the last end.

        :raises RuntimeError: when the worker ended, or ran other tasks than these, each once.
        :raises TimeoutError: when they are not done within ten minutes.
        """
        first, self._done = self._done, self._done + tasks
        assert self._publisher.stdin is not None
        self._publisher.stdin.write(b"%d %d\n" % (first, tasks))
        self._publisher.stdin.flush()
        lines = [line.split() for line in self._await_lines(_RUN_SECONDS)[first:]]
        if sorted(int(number) for number, _, _ in lines) != list(range(first, self._done)):
            raise RuntimeError("Celery did not run each task once")
        return tasks / (max(float(end) for _, _, end in lines) - min(float(start) for _, start, _ in lines))

    def _await_lines(self, seconds: float) -> list[str]:
        deadline = time.monotonic() + seconds
        while len(lines := self._times.read_text().splitlines()) < self._done:
            if self._worker.poll() is not None or self._publisher.poll() is not None:
                raise RuntimeError(f"Celery ended:\n{self._log.read_text()[-2000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(lines)} of {self._done} tasks within {seconds:.0f} s")
            time.sleep(_POLL_SECONDS)
        return lines


@contextmanager
def bare_celery(broker_url: str, folder: Path, *, tasks_per_process: int | None = None) -> Iterator[BareCelery]:
    """A worker with two task processes, JSON, no results, and else Celery's own defaults.

    :param broker_url: a broker that nobody else uses.
    :param folder: an empty folder.
    :param tasks_per_process: how many tasks a process serves; None for any number.
    """
    times = folder / "times"
    times.touch()
    (folder / "bare_app.py").write_text(_APP.format(broker=broker_url, times=str(times)))
    command = ["celery", "-A", "bare_app", "worker", "--pool", "prefork", "--concurrency", str(PROCESSES)]
    if tasks_per_process is not None:
        command += ["--max-tasks-per-child", str(tasks_per_process)]
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, stdout=log, stderr=log)
        publisher = subprocess.Popen(
            [sys.executable, "-c", _PUBLISHER], cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log
        )
    try:
        yield BareCelery(folder, worker, publisher)
    finally:
        assert publisher.stdin is not None
        publisher.stdin.close()
        publisher.wait()
        worker.send_signal(signal.SIGTERM)
        worker.wait()
