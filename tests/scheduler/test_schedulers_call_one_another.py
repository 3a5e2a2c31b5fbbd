"""What only another scheduler can do, it is called for: nobody waits for its next look."""

from __future__ import annotations

import select
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from clockmill import DAG
from clockmill.actions.trigger import trigger_run
from clockmill.operators.bash import BashOperator
from clockmill.scheduler.service import SchedulerService
from clockmill.state import RunState
from clockmill.storage.wakeup import Call, WakeListener, listen, wake
from clockmill.testing.executor import ScriptedExecutor
from tests.mill import Mill

PATIENCE = 10.0


def hear(listener: WakeListener) -> Call:
    """The next call, which the database may take a moment to pass on; its own voice, which comes back, is none."""
    while select.select(listener.filenos(), [], [], PATIENCE)[0]:
        if call := listener.drain():
            return call
    return Call.NONE


class Ear:
    """A real listener, with what it heard kept."""

    def __init__(self, listener: WakeListener) -> None:
        self._listener = listener
        self.heard = Call.NONE
        self.filenos, self.call_others, self.close = listener.filenos, listener.call_others, listener.close

    def drain(self) -> Call:
        self.heard = self._listener.drain()
        return self.heard


@dataclass
class Peer:
    """One of several schedulers, with an executor of its own."""

    service: SchedulerService
    executor: ScriptedExecutor
    ear: Ear

    def settle(self) -> None:
        for _ in range(50):
            if not self.service.run_once() and not self.executor.has_news:
                return
        raise AssertionError("the scheduler does not come to rest")

    def called(self) -> Call:
        """Wait for a call, take it in, and do what there is to do."""
        assert select.select(self.ear.filenos(), [], [], PATIENCE)[0], "nobody called"
        self.service.run_once()
        heard = self.ear.heard
        self.settle()
        return heard


class Peers:
    def __init__(self, mill: Mill) -> None:
        self.mill = mill
        self.all: list[Peer] = []

    def add(self, *, slots: int) -> Peer:
        name = f"scheduler-{len(self.all)}"
        executor = ScriptedExecutor(self.mill.clock, slots=slots, supervisor_id=name)
        ear = Ear(listen(self.mill.db, self.mill.settings.run_folder, name))
        peer = Peer(self.mill.another(executor, name=name, listener=ear), executor, ear)
        self.all.append(peer)
        peer.settle()
        self.rest()
        return peer

    def rest(self) -> None:
        """Let them talk until nobody has anything to say."""
        for _ in range(20):
            calls = [select.select(peer.ear.filenos(), [], [], 0.2)[0] for peer in self.all]
            if not any(calls):
                return
            for peer in self.all:
                peer.settle()
        raise AssertionError("the schedulers wake one another for ever")


@pytest.fixture
def peers(mill) -> Iterator[Peers]:
    mill.service.close()
    mill.services.clear()
    yield Peers(mill)


def fan(dag_id: str, width: int, **arguments: object) -> DAG:
    with DAG(dag_id, schedule=None, **arguments) as dag:
        root = BashOperator(task_id="root", bash_command="true")
        root >> [BashOperator(task_id=f"t{number}", bash_command="true") for number in range(width)]
    return dag


def test_what_one_scheduler_has_no_room_for_the_other_starts_at_once(mill, peers: Peers) -> None:
    mill.add(fan("d", 3))
    one = peers.add(slots=1)
    other = peers.add(slots=8)
    other.executor.takes_work = False
    trigger_run(mill.db, mill.clock, "d", actor="test", run_id="r1")
    wake(mill.db, mill.settings.run_folder)
    assert one.called() is Call.NEWS
    peers.rest()
    other.executor.takes_work = True
    assert (one.executor.running(), other.executor.running()) == (["root"], [])
    one.executor.finish("root")
    one.settle()
    assert one.executor.running() == ["t0"]
    assert other.called() is Call.WORK
    assert other.executor.running() == ["t1", "t2"]
    assert one.ear.drain() is Call.NONE  # nobody calls back
    peers.rest()


def test_a_scheduler_that_is_full_too_does_nothing_about_a_call(mill, peers: Peers) -> None:
    mill.add(fan("d", 5))
    one, other = peers.add(slots=1), peers.add(slots=1)
    trigger_run(mill.db, mill.clock, "d", actor="test", run_id="r1")
    wake(mill.db, mill.settings.run_folder)
    one.called()
    peers.rest()
    one.executor.finish("root")
    one.settle()
    assert other.called() is Call.WORK
    peers.rest()
    assert len(one.executor.running()) == len(other.executor.running()) == 1
    other.executor.takes_work = False
    passes = []
    other.service._move_on = passes.append  # type: ignore[method-assign]
    one.executor.finish(one.executor.running()[0])
    one.settle()
    assert other.called() is Call.WORK
    assert passes == []


def test_what_fits_is_told_to_nobody(mill, peers: Peers) -> None:
    mill.add(fan("d", 3))
    one, other = peers.add(slots=8), peers.add(slots=8)
    trigger_run(mill.db, mill.clock, "d", actor="test", run_id="r1")
    one.service._full_look_due = 0.0
    one.settle()
    for name in ("root", "t0", "t1", "t2"):
        one.executor.finish(name)
        one.settle()
    assert mill.run_state("d") is RunState.SUCCESS
    assert hear_nothing(other.ear)


def test_a_scheduler_alone_calls_nobody(mill) -> None:
    mill.executor.info = replace(mill.executor.info, slots=1)
    mill.add(fan("d", 3))
    mill.trigger("d")
    for name in ("root", "t0", "t1", "t2"):
        mill.finish(name)
        mill.pass_time(seconds=6)
    assert mill.run_state("d") is RunState.SUCCESS
    assert mill.listener.said == []


def test_a_task_that_another_scheduler_runs_is_stopped_at_once_when_its_run_is_over(mill, peers: Peers) -> None:
    mill.add(fan("d", 1, dagrun_timeout=timedelta(seconds=1)))
    one, other = peers.add(slots=0), peers.add(slots=1)
    trigger_run(mill.db, mill.clock, "d", actor="test", run_id="r1")
    other.service._full_look_due = 0.0
    other.settle()
    one.settle()
    assert other.executor.running() == ["root"]
    peers.rest()
    mill.clock.advance(1)
    one.service._deadline = mill.clock.now()
    one.settle()
    assert other.called() is Call.NEWS
    assert len(other.executor.stopped) == 1


def test_a_scheduler_that_is_new_hears_of_what_is_left_and_one_that_left_is_told_no_more(mill, peers: Peers) -> None:
    mill.add(fan("d", 2))
    one = peers.add(slots=1)
    assert not one.service._space.has_peers
    other = peers.add(slots=1)
    assert one.service._space.has_peers
    assert other.service._space.has_peers
    other.service._shut_down()
    mill.clock.advance(5)
    one.settle()
    assert not one.service._space.has_peers


def hear_nothing(listener: WakeListener) -> bool:
    return not select.select(listener.filenos(), [], [], 0.3)[0]


def test_a_caller_is_heard_by_the_others_and_calls_are_joined(mill) -> None:
    names = ("a", "b", "c")
    caller, *others = ears = [listen(mill.db, mill.settings.run_folder, name) for name in names]
    caller.call_others(Call.WORK)
    assert [hear(ear) for ear in others] == [Call.WORK, Call.WORK]
    wake(mill.db, mill.settings.run_folder)
    assert [hear(ear) for ear in ears] == [Call.NEWS] * 3
    caller.call_others(Call.WORK)
    caller.call_others(Call.NEWS)
    others[0].call_others(Call.WORK)
    assert hear(caller) is Call.WORK
    assert hear_nothing(caller)
    assert hear(others[1]) | hear(others[1]) == Call.WORK | Call.NEWS
    for ear in ears:
        ear.close()
