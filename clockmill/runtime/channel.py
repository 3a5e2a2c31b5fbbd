"""What the code inside a task process may ask of the world outside it."""

from __future__ import annotations

from typing import Any, Protocol

from clockmill.protocols import StatesQuery, StatesSeen


class TaskChannel(Protocol):
    """The line of one attempt to whoever watches it.

    In a task process it is a socket to the supervisor, which adds the attempt id and token and asks the task gateway;
    in ``dag.test()`` it is a dictionary. A call waits until there is an answer: user code never sees that nobody
    could be asked. :class:`~clockmill.errors.TaskGone` says that the attempt is over and the process must end.
    """

    def get_xcoms(
        self,
        *,
        dag_id: str,
        run_id: str,
        task_ids: list[str] | None,
        key: str,
        map_indexes: list[int] | None,
        include_prior_dates: bool,
    ) -> list[tuple[str, int, str]]:
        """The XComs with that key as ``(task_id, map_index, value as JSON text)``, newest run first.

        Only values of tries that succeeded are seen.

        :param task_ids: the tasks to look at; all of the run when None.
        :param map_indexes: the map indexes to look at; all when None.
        """
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
