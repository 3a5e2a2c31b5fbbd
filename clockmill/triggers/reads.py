"""What a trigger may read of the metadata database: it is given a reader, and never the database itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from clockmill.errors import UsageError
from clockmill.protocols import StatesQuery, StatesSeen


class TriggerReads(Protocol):
    """Answers the questions of triggers. Who runs triggers provides it with :func:`reading_by`.

    While the database is away, a call waits: a trigger does not see that.
    """

    async def get_states(self, query: StatesQuery) -> StatesSeen:
        """How runs of a DAG and their tasks stand."""
        ...


_current: ContextVar[TriggerReads | None] = ContextVar("clockmill_trigger_reads", default=None)


@contextmanager
def reading_by(reads: TriggerReads) -> Iterator[None]:
    """Let the triggers that are run inside ask ``reads``; asyncio tasks that are made inside keep it."""
    token = _current.set(reads)
    try:
        yield
    finally:
        _current.reset(token)


def current_reads() -> TriggerReads:
    """The reader of the trigger that is running.

    :raises UsageError: outside of a running trigger.
    """
    reads = _current.get()
    if reads is None:
        raise UsageError("A trigger can look at runs only while a triggerer runs it.")
    return reads
