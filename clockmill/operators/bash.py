"""Operators that run a shell command."""

from __future__ import annotations

import signal
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from clockmill.errors import ClockmillError, SkipTask, UsageError
from clockmill.hooks.subprocess import SubprocessHook, SubprocessResult
from clockmill.model.arguments import OperatorArguments
from clockmill.model.context import Context, call_with_context
from clockmill.model.operator import BaseOperator
from clockmill.templating import render_fields


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
        self._hook = SubprocessHook()

    def execute(self, context: Context) -> Any:
        """Run the command.

        :raises SkipTask: at an exit code of ``skip_on_exit_code``.
        :raises CommandFailed: at another exit code than 0.
        :raises UsageError: when there is no command, or ``cwd`` is no folder.
        """
        status, line = self._run()
        if status and self._skips_at(status):
            raise SkipTask(f"The command ended with exit code {status}, which means to skip.")
        if status:
            raise CommandFailed(status)
        return self.output_processor(line)

    def on_kill(self) -> None:
        """Tell the command to stop."""
        self._hook.send_sigterm()

    def _skips_at(self, status: int) -> bool:
        codes = self.skip_on_exit_code
        return status == codes if codes is None or isinstance(codes, int) else status in codes

    def _run(self) -> SubprocessResult:
        if self.cwd is not None and not Path(self.cwd).is_dir():
            raise UsageError(f"Task {self.task_id!r}: the folder {self.cwd!r}, given as cwd, does not exist.")
        return self._hook.run_bash(
            self.bash_command,
            self.env,
            append_env=self.append_env,
            output_encoding=self.output_encoding,
            cwd=self.cwd,
        )


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
