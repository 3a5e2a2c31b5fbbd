"""What every brokered executor has to do, as tests to inherit.

A test module of a package with such an executor says which one, how its workers would hear of what it offers, and how
to keep it from its broker::

    from clockmill.testing.brokered import BrokeredConformance

    class TestMyExecutor(BrokeredConformance):
        executor_class = MyExecutor
        options = {"url": "..."}

        def heard(self, setup, queue): ...

        def away(self): ...

Claims, beats and reports are no affair of such an executor, so nothing is run here: the suite takes some seconds.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from clockmill.clock import SystemClock
from clockmill.errors import ConfigError
from clockmill.executors.base import BrokeredExecutor, Offer
from clockmill.executors.setup import ExecutorSetup
from clockmill.ids import new_attempt_id, new_token

#: Seconds until what has to happen has happened; what works is there much sooner.
PATIENCE = 60.0
#: Seconds that a call may take at most, even on a machine that has other things to do.
_SHORT = 5.0
#: Seconds after which a doorbell is rung again here; a scheduler waits for longer.
_AGAIN = 0.5
_LOOK = 0.01
_MANY = 5000


class Stage:
    """Offers, and the executors that ring for them.

    :param setup: what each is told, but for its name.
    :param make: makes an executor from its setup.
    :param heard: tells what was heard of an executor in a queue since it was last asked.
    """

    def __init__(
        self,
        setup: ExecutorSetup,
        make: Callable[[ExecutorSetup], BrokeredExecutor],
        heard: Callable[[ExecutorSetup, str], Iterable[tuple[str, str]]],
    ) -> None:
        self.setup = setup
        self._make = make
        self._heard = heard
        self._clock = SystemClock()
        self._epoch = 0
        self._made: list[BrokeredExecutor] = []

    def start(self, name: str = "tested") -> BrokeredExecutor:
        """An executor that a scheduler has started."""
        executor = self.make(name)
        self._epoch += 1
        executor.start(self._epoch)
        return executor

    def make(self, name: str = "tested") -> BrokeredExecutor:
        """An executor that nobody has started."""
        self._made.append(self._make(self.named(name)))
        return self._made[-1]

    def named(self, name: str) -> ExecutorSetup:
        """What the executor of that name is told."""
        return replace(self.setup, name=name, run_folder=self.setup.run_folder / name)

    def offer(self, queue: str = "default", priority: int = 1) -> Offer:
        """Something new to ring for."""
        return Offer(attempt_id=new_attempt_id(), token=new_token(), queue=queue, priority=priority)

    def heard(self, queue: str = "default", name: str = "tested") -> list[tuple[str, str]]:
        """What workers have heard since this was last asked: ``(attempt id, token)``."""
        return list(self._heard(self.named(name), queue))

    def wait(self, holds: Callable[[], bool], what: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Go on until something holds, and do something again and again until then."""
        now = self._clock.monotonic()
        deadline, again = now + PATIENCE, now + _AGAIN
        while not holds():
            now = self._clock.monotonic()
            assert now < deadline, f"waited in vain for {what}"
            if now >= again:
                meanwhile()
                again = now + _AGAIN
            self._clock.sleep(_LOOK)

    def reaches(self, executor: BrokeredExecutor, *offers: Offer) -> list[tuple[str, str]]:
        """Ring for these, again and again as schedulers do, until each was heard in its queue; returns all that was."""
        heard: list[tuple[str, str]] = []

        def is_complete() -> bool:
            for queue in {each.queue for each in offers}:
                heard.extend(self.heard(queue, executor.name))
            return {(each.attempt_id, each.token) for each in offers} <= set(heard)

        executor.offer(offers)
        self.wait(is_complete, f"{len(offers)} doorbells", lambda: executor.offer(offers))
        return heard

    @contextmanager
    def shortly(self) -> Iterator[None]:
        """See that something takes no time to speak of."""
        begin = self._clock.monotonic()
        yield
        took = self._clock.monotonic() - begin
        assert took < _SHORT, f"it took {took:.1f} s, in which a scheduler can do nothing else"

    def close(self) -> None:
        """Let go of everything."""
        for executor in self._made:
            executor.detach()


class BrokeredConformance:
    """The suite. Fill in ``executor_class`` and the two hooks, or :meth:`make_executor` where making it takes more."""

    #: The class of the executor.
    executor_class: ClassVar[Any] = None
    #: What its section of the configuration says; a fixture may set it where it is known only then.
    options: Mapping[str, Any] = {}

    def make_executor(self, setup: ExecutorSetup) -> BrokeredExecutor:
        """The executor to be tried, made from this setup and not started; there may be several at once."""
        made: BrokeredExecutor = self.executor_class(setup)
        return made

    def heard(self, setup: ExecutorSetup, queue: str) -> Iterable[tuple[str, str]]:
        """``(attempt id, token)`` of each doorbell that workers of a queue have heard since this was last asked.

        :param setup: that of the executor whose workers they are.
        """
        raise NotImplementedError

    def away(self) -> AbstractContextManager[object]:
        """Keeps the broker from being reached, those who are connected too; what it had may be lost."""
        raise NotImplementedError

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Iterator[Stage]:
        """Offers, and executors to ring for them."""
        setup = ExecutorSetup(
            name="tested",
            home=tmp_path,
            run_folder=tmp_path / "run" / "executors",
            slots=2,
            gateway="",
            gateway_spec={},
            key=b"a key that all machines have",
            options=dict(self.options),
        )
        stage = Stage(setup, self.make_executor, self.heard)
        yield stage
        stage.close()

    # --- ringing ----------------------------------------------------------------------------------------------------

    def test_a_doorbell_comes_to_its_queue_with_the_attempt_and_its_token(self, stage: Stage) -> None:
        executor = stage.start()
        here, there = stage.offer("default"), stage.offer("other")
        executor.offer([here, there])
        heard = {queue: set[tuple[str, str]]() for queue in ("default", "other")}

        def came() -> bool:
            for queue, those in heard.items():
                those.update(stage.heard(queue))
            return all(heard.values())

        stage.wait(came, "a doorbell in each queue", lambda: executor.offer([here, there]))
        assert heard == {each.queue: {(each.attempt_id, each.token)} for each in (here, there)}

    def test_an_offer_is_rung_for_each_time_that_it_is_made(self, stage: Stage) -> None:
        executor, offer = stage.start(), stage.offer()
        for _ in range(3):
            stage.reaches(executor, offer)

    def test_two_executors_of_a_kind_ring_for_workers_of_their_own(self, stage: Stage) -> None:
        one, other = stage.start("one"), stage.start("other")
        mine, theirs = stage.offer(), stage.offer()
        assert {ident for ident, _ in stage.reaches(one, mine)} == {mine.attempt_id}
        assert {ident for ident, _ in stage.reaches(other, theirs)} == {theirs.attempt_id}
        assert theirs.attempt_id not in {ident for ident, _ in stage.heard(name="one")}

    def test_an_offer_that_is_odd_holds_up_no_other(self, stage: Stage) -> None:
        executor = stage.start()
        queues = ("q" * 300, "grö\u00dfe \u2603", "../up", "a.b:c*#", "", "nul\0")
        executor.offer([stage.offer(queue) for queue in queues])
        executor.offer([stage.offer(priority=priority) for priority in (-1, 0, 10**12)])
        executor.stop_attempts(["never heard of"], "somebody asked for it")
        stage.reaches(executor, stage.offer())

    # --- a broker that is away --------------------------------------------------------------------------------------

    def test_nobody_waits_for_a_broker_that_is_away_or_hears_an_error(self, stage: Stage) -> None:
        offers = [stage.offer() for _ in range(_MANY)]
        with self.away():
            with stage.shortly():
                executor = stage.start()
            with stage.shortly():
                executor.offer(offers)
                executor.offer([])
            with stage.shortly():
                executor.stop_attempts([each.attempt_id for each in offers], "somebody asked for it")
            with stage.shortly():
                executor.stop(0)
            with stage.shortly():
                executor.detach()

    def test_it_rings_again_once_the_broker_is_back(self, stage: Stage) -> None:
        executor = stage.start()
        stage.reaches(executor, stage.offer())
        with self.away(), stage.shortly():
            executor.offer([stage.offer()])
        stage.reaches(executor, stage.offer())

    # --- beginning and end ------------------------------------------------------------------------------------------

    def test_the_scheduler_has_nothing_to_ask_of_it(self, stage: Stage) -> None:
        executor = stage.start()
        stage.reaches(executor, stage.offer())
        assert executor.free_slots() == {}
        assert executor.events() == []
        assert (executor.filenos(), executor.look_again_in()) == ([], None)
        assert not executor.is_dead("a worker")

    def test_drained_or_stopped_it_takes_no_work_until_it_is_started_again(self, stage: Stage) -> None:
        executor = stage.start()
        assert executor.name == "tested"
        for end in (executor.drain, lambda: executor.stop(300)):
            before = executor.takes_work
            end()
            assert (before, executor.takes_work) == (True, False)
            executor.start(9)
        stage.reaches(executor, stage.offer())

    def test_nothing_is_left_of_it_after_its_end(self, stage: Stage) -> None:
        stage.heard()  # whatever that leaves open
        threads, descriptors = set(threading.enumerate()), _open_descriptors()
        executor = stage.make()
        executor.stop(0)  # which may come before its start
        executor.start(1)
        stage.reaches(executor, stage.offer())
        for _ in range(2):
            executor.stop(0)
            executor.detach()
        executor.offer([stage.offer()])
        executor.stop_attempts(["a"], "somebody asked for it")
        stage.wait(lambda: not executor.is_busy(), "its end")
        stage.wait(lambda: set(threading.enumerate()) <= threads, "the end of its threads")
        stage.wait(lambda: _open_descriptors() <= descriptors, "the end of its connections", gc.collect)

    def test_an_option_that_is_misspelt_is_refused_with_the_nearest(self, stage: Stage) -> None:
        for name, value in self.options.items():
            with pytest.raises(ConfigError) as refused:
                self.make_executor(replace(stage.setup, options={f"{name}_": value}))
            assert f"[executor.tested] has no option '{name}_'. Did you mean '{name}'?" in str(refused.value)


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
