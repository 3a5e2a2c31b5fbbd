"""What the code inside a task process may ask of the world outside it."""

from __future__ import annotations

from typing import Any, Protocol

from clockmill.protocols import StatesQuery, StatesSeen, XComQuery


class TaskChannel(Protocol):
    """The line of one attempt to whoever watches it.

    In a task process it is a socket to the supervisor, which adds the attempt id and token and asks the task gateway;
    in ``dag.test()`` it is a dictionary. A call waits until there is an answer: user code never sees that nobody
    could be asked. :class:`~clockmill.errors.TaskGone` says that the attempt is over and the process must end.
    """

    def get_xcoms(self, query: XComQuery) -> list[tuple[str, int, str]]:
        """XComs as ``(task_id, map_index, value as JSON text)``, by map index within a task.

        Only values of tries that succeeded are seen.
        """
        ...

    def measure_xcoms(self, query: XComQuery) -> tuple[int, int | None]:
        """How many such XComs there are, and how many elements the longest has; None when none is a list or mapping."""
        ...

    def get_previous_run(self) -> dict[str, str | None]:
        """The dates of the newest earlier run of the DAG that succeeded; empty when there is none."""
        ...

    def get_variable(self, key: str) -> str | None:
        """The text of a variable, or None when there is none."""
        ...

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        """The fields ``conn_id conn_type host port schema login password extra description``, or None.

        ``extra`` is a mapping.
        """
        ...

    def get_states(self, query: StatesQuery) -> StatesSeen:
        """How runs of a DAG and their tasks stand."""
        ...

    def started(self, at: str) -> None:
        """Tell that the user's code begins; ``execution_timeout`` counts from here.

        :param at: the instant, as ISO 8601 text in UTC.
        """
        ...
