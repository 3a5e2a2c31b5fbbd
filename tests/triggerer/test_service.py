"""What a triggerer does with the triggers of waiting tasks, over a real database and in a real event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from clockmill.storage.components import list_components
from clockmill.storage.engine import DatabaseUnavailable
from clockmill.storage.wakeup import listen
from clockmill.triggerer.life import SILENCE
from clockmill.triggerer.service import TriggererService
from tests.faults.harness import wait_until
from tests.triggerer.doors import world


def test_a_trigger_fires_once_with_its_first_event_and_is_cleaned_up(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a", "b")
        yard.wait_for("Twice", "c")
        service = yard.service()
        await yard.settle(service)
        assert yard.fired() == {"c": 1}
        world.opened["b"].set()
        await yard.settle(service)
        assert yard.fired() == {"b": "b", "c": 1}
        assert world.cleaned == ["c", "b"]
        assert yard.owners() == dict.fromkeys("abc", "t1")

    asyncio.run(work())


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("Broken", "ValueError: no x\\0\\ud800"),
        ("Silent", "RuntimeError: the trigger ended without an event"),
        ("Coroutine", "TypeError: run() has no yield: it yields a TriggerEvent, and does not return one"),
        ("Exits", "SystemExit: 3"),
        ("Plain", "TypeError: run() yields a TriggerEvent, not a int"),
        ("Heavy", "SerializationError: event: "),
        ("Missing", "AttributeError: module 'tests.triggerer.doors' has no attribute 'Missing'"),
        ("world", "TypeError: 'tests.triggerer.doors.world' is no class"),
    ],
)
def test_a_trigger_that_cannot_fire_hands_its_task_an_error_and_harms_no_other(
    yard: Any, kind: str, error: str
) -> None:
    async def work() -> None:
        yard.wait_for(kind, "x")
        yard.wait_for("Twice", "y")
        await yard.settle(yard.service())
        fired = yard.fired()
        assert fired["x"].startswith(error)
        assert fired["y"] == 1

    asyncio.run(work())


def test_the_traceback_that_a_task_is_told_shows_the_code_of_its_author_alone(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Broken", "x")
        await yard.settle(yard.service())
        trace = yard.trace("x")
        assert 'raise ValueError(f"no {self.name}' in trace
        assert "clockmill/triggerer" not in trace

    asyncio.run(work())


def test_an_argument_that_the_class_does_not_take_is_an_error_of_the_trigger(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", "x", kwargs='{"nme": 1}')
        await yard.settle(yard.service())
        assert "unexpected keyword argument 'nme'" in yard.fired()["x"]

    asyncio.run(work())


def test_a_trigger_that_cannot_clean_up_has_fired_all_the_same(yard: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        yard.wait_for("Untidy", "x")
        world.opened["x"].set()
        await yard.settle(yard.service())
        assert yard.fired() == {"x": "x"}
        assert "a trigger could not clean up" in caplog.text

    asyncio.run(work())


def test_a_trigger_sees_how_runs_stand(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Reader", "x")
        service = yard.service()
        async with serving(service):
            await until(lambda: yard.fired() == {"x": [True, "running"]})

    asyncio.run(work())


def test_a_task_that_waits_no_more_has_its_trigger_ended_and_cleaned_up(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a", "b")
        service = yard.service()
        await yard.settle(service)
        yard.drop("a")
        yard.clock.advance(5)
        await yard.settle(service)
        assert world.cleaned == ["a"]
        world.opened["a"].set()
        await yard.settle(service)
        assert yard.fired() == {}

    asyncio.run(work())


def test_no_more_triggers_run_than_there_is_room_for_and_the_oldest_come_first(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a", "b", "c")
        service = yard.service(capacity=2)
        await yard.settle(service)
        assert yard.owners() == {"a": "t1", "b": "t1", "c": None}
        world.opened["a"].set()
        await yard.settle(service)
        yard.clock.advance(5)
        await yard.settle(service)
        assert yard.owners()["c"] == "t1"

    asyncio.run(work())


def test_what_was_claimed_in_a_commit_that_nobody_could_tell_about_is_run(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Twice", "a")
        service = yard.service()
        yard.database.write(lambda c: claim(c, "t1"))
        await yard.settle(service)
        assert yard.fired() == {"a": 1}

    asyncio.run(work())


# --- several triggerers ----------------------------------------------------------------------------------------------


def test_two_triggerers_share_what_there_is_and_run_nothing_twice(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", *"abcdef")
        first, second = yard.service("t1", capacity=3), yard.service("t2", capacity=3)
        await yard.settle(first)
        await yard.settle(second)
        assert sorted(world.begun) == list("abcdef")
        assert sorted(yard.owners().values()) == ["t1"] * 3 + ["t2"] * 3

    asyncio.run(work())


def test_a_triggerer_that_died_on_this_host_is_replaced_at_the_next_look(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a")
        dead = yard.service("dead")
        await yard.settle(dead)
        release_lock(dead)
        await yard.settle(yard.service("t2"))
        assert yard.owners() == {"a": "t2"}
        assert world.begun == ["a", "a"]
        assert [row.instance for row in yard.database.read(list_components)] == ["t2"]

    asyncio.run(work())


def test_a_trigger_in_whose_code_triggerers_die_fails_once_its_crash_budget_is_spent(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a", "b")
        for number in range(4):
            dead = yard.service(f"dead{number}")
            await yard.settle(dead)
            assert yard.fired() == {}, "a death from outside costs a trigger nothing"
            assert yard.owners() == dict.fromkeys("ab", f"dead{number}")
            dead._life.mark(min(dead._runner.held))
            release_lock(dead)
        await yard.settle(yard.service("t2"))
        assert yard.owners()["b"] == "t2"
        assert "died again and again while the code of this trigger was running" in yard.fired()["a"]

    asyncio.run(work())


def test_what_triggers_raise_or_cancel_ends_them_and_not_the_triggerer(yard: Any) -> None:
    yard.wait_for("Quits", "kbi", "exit", "gen")
    yard.wait_for("CancelsAll", "all")
    yard.wait_for("Door", "late")
    service = yard.service()
    told: dict[str, Any] = {}

    async def work() -> None:
        told["loop"] = asyncio.get_running_loop()
        await service.run()

    def look_on() -> None:
        wait_until(lambda: len(yard.fired()) >= 4 and "late" in world.begun, "four to end")
        told["loop"].call_soon_threadsafe(service.stop)

    with ThreadPoolExecutor(1) as outside:  # a task of this loop would be cancelled, too
        looking = outside.submit(look_on)
        asyncio.run(work())
        looking.result()
    ended = yard.fired()
    assert {name: ended[name] for name in ("kbi", "exit", "gen", "all")} == {
        "kbi": "KeyboardInterrupt",
        "exit": "SystemExit",
        "gen": "GeneratorExit",
        "all": "RuntimeError: the trigger cancelled itself",
    }


@pytest.mark.parametrize("home", ["elsewhere", "home"], ids=["elsewhere", "hangs"])
def test_a_triggerer_that_is_elsewhere_or_hangs_is_dead_after_thirty_seconds_without_a_beat_and_not_before(
    yard: Any, tmp_path: Path, home: str
) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a")
        await yard.settle(yard.service("far", home=tmp_path / home))
        near = yard.service("near")
        await yard.settle(near)
        for _ in range(int(SILENCE) - 1):
            yard.clock.advance(1)
            await near.run_once()
        assert yard.owners() == {"a": "far"}
        yard.clock.advance(1)
        await yard.settle(near)
        assert yard.owners() == {"a": "near"}

    asyncio.run(work())


def test_a_triggerer_that_beats_keeps_its_triggers_for_ever(yard: Any, tmp_path: Path) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a")
        far = yard.service("far", home=tmp_path / "elsewhere")
        near = yard.service("near")
        for _ in range(12):
            await yard.settle(far, 1)
            await yard.settle(near, 1)
            yard.clock.advance(SILENCE / 4)
        assert yard.owners() == {"a": "far"}

    asyncio.run(work())


def test_one_that_was_thought_dead_writes_nothing_and_ends_what_is_not_its_own(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a")
        stuck = yard.service("stuck")
        await yard.settle(stuck)
        yard.database.write(lambda c: hand_over(c, "stuck"))
        await yard.settle(yard.service("t2"))
        world.opened["a"].set()
        await yard.settle(stuck)
        assert yard.fired() == {}
        yard.clock.advance(5)
        await yard.settle(stuck)
        await yard.settle(yard.services[1])
        assert yard.fired() == {"a": "a"}

    asyncio.run(work())


# --- as a service ----------------------------------------------------------------------------------------------------


def test_it_calls_the_schedulers_after_the_commit(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a")
        ear = listen(yard.database, yard.settings(yard.home).run_folder, "scheduler")
        async with serving(yard.service()):
            await until(lambda: world.begun == ["a"])
            world.opened["a"].set()
            await until(ear.drain)
            assert yard.fired() == {"a": "a"}
        ear.close()

    asyncio.run(work())


def test_asked_to_stop_it_hands_back_what_it_runs_cleans_up_and_leaves_no_trace(yard: Any) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a", "b")
        async with serving(yard.service()):
            await until(lambda: sorted(world.begun) == ["a", "b"])
        assert yard.owners() == {"a": None, "b": None}
        assert sorted(world.cleaned) == ["a", "b"]
        assert yard.database.read(list_components) == []
        assert list((yard.home / "run" / "triggerers").iterdir()) == []

    asyncio.run(work())


def test_an_outage_of_the_database_loses_no_event(yard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a", "b")
        service = yard.service()
        await yard.settle(service)
        write = service._database.write
        monkeypatch.setattr(service._database, "write", away)
        world.opened["a"].set()
        world.opened["b"].set()
        for _ in range(3):
            with contextlib.suppress(DatabaseUnavailable):
                await yard.settle(service, 1)
        assert yard.fired() == {}
        monkeypatch.setattr(service._database, "write", write)
        await yard.settle(service)
        assert yard.fired() == {"a": "a", "b": "b"}

    asyncio.run(work())


def test_one_event_that_the_database_refuses_spoils_no_other(yard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        yard.wait_for("Door", "a", "b")
        service = yard.service()
        await yard.settle(service)
        real = service._write

        async def write(fired: list[Any]) -> None:
            if any(one.event == '"a"' for one in fired):
                raise ValueError("not that one")
            await real(fired)

        monkeypatch.setattr(service, "_write", write)
        world.opened["a"].set()
        world.opened["b"].set()
        await yard.settle(service)
        assert yard.fired() == {"a": "The event cannot be stored: ValueError", "b": "b"}

    asyncio.run(work())


# --- helpers ---------------------------------------------------------------------------------------------------------


def claim(connection: Any, name: str) -> None:
    from clockmill.storage.triggers import claim_triggers

    claim_triggers(connection, name, 10)


def hand_over(connection: Any, name: str) -> None:
    from clockmill.storage.triggers import hand_back

    hand_back(connection, name)


def release_lock(service: TriggererService) -> None:
    """What the kernel does when the process dies: the file stays, nobody holds it."""
    import os

    os.close(service._life._descriptor)
    service._life._descriptor = -1


def away(_work: object) -> None:
    raise DatabaseUnavailable("gone")


@contextlib.asynccontextmanager
async def serving(service: TriggererService) -> AsyncIterator[None]:
    """Let it run, and stop it in good order."""
    task = asyncio.create_task(service.run())
    try:
        yield
    finally:
        service.stop()
        await asyncio.wait_for(task, 30)


async def until(look: Any) -> None:
    """Let the loop go round until there is an answer."""
    async with asyncio.timeout(30):
        while not look():
            await asyncio.sleep(0.005)
