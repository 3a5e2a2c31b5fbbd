"""A sensor that asks a shell command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clockmill.errors import FailTask
from clockmill.hooks.subprocess import SubprocessHook
from clockmill.model.context import Context
from clockmill.sensors.base import BaseSensorOperator


class BashSensor(BaseSensorOperator):
    """Waits until a command in bash ends with exit code 0.

    :param bash_command: the command, or the name of a file that ends in ``.sh`` or ``.bash``; templated.
    :param env: the environment of the command, instead of that of the task; templated.
    :param append_env: whether ``env`` is added to the environment of the task instead.
    :param output_encoding: of what the command prints.
    :param retry_exit_code: the one exit code that means "not yet"; every other but 0 fails the task then. By default
        every exit code but 0 means "not yet".
    """

    template_fields: Sequence[str] = ("bash_command", "env")
    template_ext: Sequence[str] = (".sh", ".bash")
    template_fields_renderers = {"bash_command": "bash", "env": "json"}

    def __init__(
        self,
        *,
        bash_command: Any,
        env: Mapping[str, str] | None = None,
        append_env: bool = False,
        output_encoding: str = "utf-8",
        retry_exit_code: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bash_command = bash_command
        self.env = env
        self.append_env = append_env
        self.output_encoding = output_encoding
        self.retry_exit_code = retry_exit_code
        self._hook = SubprocessHook()

    def poke(self, context: Context) -> bool:
        """Whether the command ended well.

        :raises FailTask: when it ended with another exit code than ``retry_exit_code``.
        :raises UsageError: when there is no command.
        """
        status, _ = self._hook.run_bash(
            self.bash_command, self.env, append_env=self.append_env, output_encoding=self.output_encoding
        )
        if status and self.retry_exit_code is not None and status != self.retry_exit_code:
            raise FailTask(f"The command ended with exit code {status}, which does not mean to look again.")
        return status == 0

    def on_kill(self) -> None:
        """Tell the command to stop."""
        self._hook.send_sigterm()
