"""An operator that does nothing."""

from __future__ import annotations

from typing import ClassVar

from clockmill.model.context import Context
from clockmill.model.operator import BaseOperator


class EmptyOperator(BaseOperator):
    """Do nothing: a place in the DAG where edges meet. Without callbacks it succeeds without a process."""

    ui_color = "#e8f7e4"
    runs_nothing: ClassVar[bool] = True

    def execute(self, context: Context) -> None:
        """Do nothing."""
