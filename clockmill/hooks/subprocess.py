"""Shell commands as process groups of their own, with their output in the log of the task."""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from clockmill.errors import UsageError
from clockmill.host import processes

#: Kept whatever the environment of a command is: by them the processes of an attempt are known, and swept at its end.
_MARKS = (processes.ATTEMPT_MARK, processes.SUPERVISOR_MARK, "IDEMPOTENCY_KEY")


class SubprocessResult(NamedTuple):
    """How a command ended.

    :param exit_code: its exit status; minus the signal number when a signal ended it.
    :param output: the last line that it printed.
    """

    exit_code: int
    output: str


class SubprocessHook:
    """Runs one command at a time.

    The command is killed when it ends in whatever way, and with it what it left behind in its process group.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def run_command(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        output_encoding: str = "utf-8",
        cwd: str | None = None,
    ) -> SubprocessResult:
        """Run a command to its end; what it prints goes to standard output.

        :param env: its environment, that of this process by default.
        :param output_encoding: of what it prints; bytes that do not fit are replaced.
        :param cwd: the folder to run in; a temporary one by default.
        """
        folder = TemporaryDirectory(prefix="clockmill-") if cwd is None else contextlib.nullcontext(cwd)
        with folder as path:
            self._process = process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=path,
                env=_environment(env),
                process_group=0,
                preexec_fn=partial(processes.die_with_parent, os.getpid()),
            )
            printed = _Printed(output_encoding)
            try:
                if self._is_stopped:  # a signal came while it was being started
                    self.send_sigterm()
                for chunk in _output_of(process):
                    printed.add(chunk)
            finally:
                # What the command left running in the background goes as well.
                processes.signal_group(process.pid, signal.SIGKILL)
                status = process.wait()
                self._process = None
        return SubprocessResult(status, printed.last_line)

    def run_bash(
        self,
        command: Any,
        env: Mapping[str, str] | None = None,
        *,
        append_env: bool = False,
        output_encoding: str = "utf-8",
        cwd: str | None = None,
    ) -> SubprocessResult:
        """Run a command in bash, as :meth:`run_command` does; what templates made of it may be anything.

        :param append_env: whether ``env`` is added to the environment of this process.
        :raises UsageError: when ``command`` is no text, or empty.
        """
        if not isinstance(command, str) or not command.strip():
            raise UsageError(f"bash_command must be a command, not {command!r}.")
        whole = None if env is None else {**(os.environ if append_env else {}), **env}
        return self.run_command(["bash", "-c", command], whole, output_encoding, cwd)

    def send_sigterm(self) -> None:
        """Tell the command to stop: the one that is running, or the next as soon as it has begun."""
        self._is_stopped = True
        if self._process is not None:
            processes.signal_group(self._process.pid, signal.SIGTERM)


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    if env is None:
        return dict(os.environ)
    return {**env, **{name: os.environ[name] for name in _MARKS if name in os.environ}}


def _output_of(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """What the process prints, until it ends; processes that it leaves behind with its output open do not count."""
    assert process.stdout is not None
    output = process.stdout.fileno()
    with process.stdout, contextlib.closing(select.epoll()) as poll, _pidfd(process.pid) as ended:
        poll.register(output, select.EPOLLIN)
        poll.register(ended, select.EPOLLIN)
        os.set_blocking(output, False)
        is_open, is_over = True, False
        while not is_over:
            is_over = any(descriptor == ended for descriptor, _ in poll.poll())
            with contextlib.suppress(BlockingIOError):
                while chunk := os.read(output, 1 << 16):
                    yield chunk
                if is_open:
                    poll.unregister(output)  # closed; the end of the process is still to come
                    is_open = False


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    """A descriptor that is readable once the process has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Printed:
    """Passes on what a command prints, and remembers the last line of it."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._line = bytearray()

    def add(self, chunk: bytes) -> None:
        """Print ``chunk``."""
        sys.stdout.write(self._decoder.decode(chunk))
        sys.stdout.flush()
        text = chunk.rstrip(b"\r\n")
        if text and self._line.endswith(b"\n"):
            self._line.clear()
        if (start := text.rfind(b"\n")) >= 0:
            self._line.clear()
        self._line += chunk[start + 1 :]

    @property
    def last_line(self) -> str:
        """The last line that was not empty, without its end."""
        return self._line.decode(self._encoding, "replace").rstrip("\r\n")
