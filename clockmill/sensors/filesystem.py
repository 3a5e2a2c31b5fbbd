"""A sensor of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from clockmill.errors import UsageError
from clockmill.model.context import Context
from clockmill.sensors.base import BaseSensorOperator
from clockmill.triggers.file import FileTrigger, find_file


class FileSensor(BaseSensorOperator):
    """Waits for a file. It is there as soon as its name is: write it under another name first, then rename it.

    :param filepath: a file, a folder, which stands for the files in it and below, or a pattern such as ``/in/*.csv``;
        absolute; templated.
    :param fs_conn_id: a connection whose ``extra`` has the ``path`` that ``filepath`` is relative to; none by default.
    :param recursive: whether ``**`` in a pattern stands for any number of folders.
    """

    template_fields: Sequence[str] = ("filepath",)
    ui_color = "#91818a"
    can_defer: ClassVar[bool] = True

    def __init__(self, *, filepath: Any, fs_conn_id: str | None = None, recursive: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filepath = filepath
        self.fs_conn_id = fs_conn_id
        self.recursive = recursive

    def poke(self, context: Context) -> bool:
        """Whether it is there."""
        path = self.path(context)
        found = find_file(path, recursive=self.recursive)
        self.log.info("Found %s." if found else "Looked for %s.", found or path)
        return found is not None

    def make_trigger(self, context: Context) -> FileTrigger:
        """What looks on the machine of the triggerer."""
        return FileTrigger(self.path(context), self.recursive, self.poke_interval.total_seconds())

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """Say what was found."""
        self.log.info("Found %s.", event)

    def path(self, context: Context) -> str:
        """The whole path that is looked for.

        :raises UsageError: when it is not one.
        """
        if not isinstance(self.filepath, str | Path) or not str(self.filepath):
            raise UsageError(f"Task {self.task_id!r}: filepath must be a path, not {self.filepath!r}.")
        base = "/" if self.fs_conn_id is None else _base(context, self.fs_conn_id)
        if self.fs_conn_id is None and not Path(self.filepath).is_absolute():
            raise UsageError(
                f"Task {self.task_id!r}: filepath must be absolute, not {str(self.filepath)!r}; or name with "
                "fs_conn_id a connection that has the path which it is relative to."
            )
        return str(Path(base) / self.filepath)


def _base(context: Context, conn_id: str) -> str:
    return str(getattr(context["conn"], conn_id).extra_dejson.get("path", "/"))
