"""Triggers that do what a test says."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

from clockmill.protocols import StatesQuery
from clockmill.triggers import BaseTrigger, TriggerEvent
from clockmill.triggers.reads import current_reads


class World:
    """What the test does, and what the triggers did."""

    def __init__(self) -> None:
        self.opened: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.begun: list[str] = []
        self.cleaned: list[str] = []


world = World()


class Door(BaseTrigger):
    """Fires when the test opens it."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def run(self) -> AsyncIterator[TriggerEvent]:
        world.begun.append(self.name)
        await world.opened[self.name].wait()
        yield TriggerEvent(self.name)

    async def cleanup(self) -> None:
        world.cleaned.append(self.name)


class Twice(Door):
    """Would fire twice."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        yield TriggerEvent(1)
        yield TriggerEvent(2)


class Broken(Door):
    """Raises."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        raise ValueError(f"no {self.name}\0\ud800")
        yield TriggerEvent(None)


class Silent(Door):
    """Ends without an event."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        for nothing in ():
            yield TriggerEvent(nothing)


class Coroutine(Door):
    """Returns instead of yielding."""

    async def run(self) -> TriggerEvent:  # type: ignore[override]
        return TriggerEvent(1)


class Exits(Door):
    """Ends the program."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        raise SystemExit(3)
        yield TriggerEvent(None)


class Plain(Door):
    """Yields what is no event."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        yield 7  # type: ignore[misc]


class Heavy(Door):
    """Yields what cannot be stored."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        yield TriggerEvent(object())


class Untidy(Door):
    """Cannot clean up."""

    async def cleanup(self) -> None:
        raise OSError("stuck")


class Reader(Door):
    """Looks at runs."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        seen = await current_reads().get_states(StatesQuery(dag_id="d", run_ids=["r"]))
        yield TriggerEvent([seen.is_known, seen.runs[0]["state"]])


class CancelsAll(Door):
    """Cancels whatever the loop has, the triggerer included."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(1)
        yield TriggerEvent(None)


class Quits(Door):
    """Raises what is no mere exception."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        raise {"kbi": KeyboardInterrupt, "exit": SystemExit, "gen": GeneratorExit}[self.name]()
        yield TriggerEvent(None)
