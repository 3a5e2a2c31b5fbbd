"""Operators that run a shell command."""

from __future__ import annotations

import codecs
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

from clockmill.errors import ClockmillError, SkipTask, UsageError
from clockmill.host import processes
from clockmill.model.arguments import OperatorArguments
from clockmill.model.context import Context, call_with_context
from clockmill.model.operator import BaseOperator
from clockmill.templating import render_fields

#: Kept whatever ``env`` says: by them the processes of an attempt are known, and swept when it is over.
_MARKS = (processes.ATTEMPT_MARK, processes.SUPERVISOR_MARK, "IDEMPOTENCY_KEY")


class CommandFailed(ClockmillError):
    """A shell command ended with a status other than 0.

    :param status: the exit status; minus the signal number when a signal ended it.
    """

    def __init__(self, status: int) -> None:
        if status < 0:
            super().__init__(f"The command was ended by signal {-status} ({signal.Signals(-status).name}).")
        else:
            super().__init__(f"The command ended with exit code {status}.")
        self.status = status


class BashOperator(BaseOperator):
    """Run a command in bash; the last line that it prints is the XCom of the task.

    The command is a process group of its own. It is killed when the task ends in whatever way, and with it what it
    left behind in that group.

    :param bash_command: the command, or the name of a file that ends in ``.sh`` or ``.bash``; templated.
    :param env: the environment of the command, instead of that of the task; templated.
    :param append_env: whether ``env`` is added to the environment of the task instead.
    :param output_encoding: of what the command prints; bytes that do not fit are replaced.
    :param skip_on_exit_code: the exit code, or several, at which the task ends as skipped; None for no such code.
    :param cwd: the folder to run in, which must exist; templated. A temporary one by default.
    :param output_processor: makes the XCom of the last line.
    """

    template_fields: Sequence[str] = ("bash_command", "env", "cwd")
    template_ext: Sequence[str] = (".sh", ".bash")
    template_fields_renderers = {"bash_command": "bash", "env": "json"}
    ui_color = "#f0ede4"

    def __init__(
        self,
        *,
        bash_command: Any,
        env: Mapping[str, str] | None = None,
        append_env: bool = False,
        output_encoding: str = "utf-8",
        skip_on_exit_code: int | Container[int] | None = 99,
        cwd: str | None = None,
        output_processor: Callable[[str], Any] = lambda line: line,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.bash_command = bash_command
        self.env = env
        self.append_env = append_env
        self.output_encoding = output_encoding
        self.skip_on_exit_code = skip_on_exit_code
        self.cwd = cwd
        self.output_processor = output_processor
        self._process: subprocess.Popen[bytes] | None = None

    def execute(self, context: Context) -> Any:
        """Run the command.

        :raises SkipTask: at an exit code of ``skip_on_exit_code``.
        :raises CommandFailed: at another exit code than 0.
        :raises UsageError: when ``cwd`` is no folder.
        """
        if not isinstance(self.bash_command, str) or not self.bash_command.strip():
            raise UsageError(f"Task {self.task_id!r}: bash_command must be a command, not {self.bash_command!r}.")
        with self._folder() as folder:
            status, line = self._run(folder)
        if status and self._skips_at(status):
            raise SkipTask(f"The command ended with exit code {status}, which means to skip.")
        if status:
            raise CommandFailed(status)
        return self.output_processor(line)

    def on_kill(self) -> None:
        """Tell the command to stop."""
        if self._process is not None:
            processes.signal_group(self._process.pid, signal.SIGTERM)

    def _skips_at(self, status: int) -> bool:
        codes = self.skip_on_exit_code
        return status == codes if codes is None or isinstance(codes, int) else status in codes

    def _folder(self) -> contextlib.AbstractContextManager[str]:
        if self.cwd is None:
            return TemporaryDirectory(prefix="clockmill-")
        if not Path(self.cwd).is_dir():
            raise UsageError(f"Task {self.task_id!r}: the folder {self.cwd!r}, given as cwd, does not exist.")
        return contextlib.nullcontext(self.cwd)

    def _environment(self) -> dict[str, str]:
        if self.env is None:
            return dict(os.environ)
        marks = {name: os.environ[name] for name in _MARKS if name in os.environ}
        return {**(os.environ if self.append_env else {}), **self.env, **marks}

    def _run(self, folder: str) -> tuple[int, str]:
        """Run the command to its end: its exit status, and the last line that it printed."""
        self._process = process = subprocess.Popen(
            ["bash", "-c", self.bash_command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=self._environment(),
            process_group=0,
            preexec_fn=partial(processes.die_with_parent, os.getpid()),
        )
        printed = _Printed(self.output_encoding)
        try:
            for chunk in _output_of(process):
                printed.add(chunk)
        finally:
            processes.signal_group(process.pid, signal.SIGKILL)  # also what the command left running in the background
            status = process.wait()
            self._process = None
        return status, printed.last_line


class BashFunctionOperator(BashOperator):
    """``@task.bash``: call a function and run the command that it returns."""

    template_fields: Sequence[str] = (*BashOperator.template_fields, "op_args", "op_kwargs")

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] = (),
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(bash_command=None, **kwargs)
        self.python_callable = python_callable
        self.op_args = tuple(op_args)
        self.op_kwargs = dict(op_kwargs or {})

    def execute(self, context: Context) -> Any:
        """Call the function, render the command that it returns, and run it."""
        self.bash_command = call_with_context(self.python_callable, self.op_args, self.op_kwargs, context)
        if self.dag is not None:
            # The other fields are rendered already, and what they hold now must not be read as templates again.
            self.template_fields = ("bash_command",)
            self.bash_command = render_fields(self, context, folder=self.dag.folder)["bash_command"]
        return super().execute(context)


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
