"""What every executor has to do, as tests to inherit.

A test module of a package with an executor says which one::

    from clockmill.testing.executors import ExecutorConformance

    class TestMyExecutor(ExecutorConformance):
        executor_class = MyExecutor

The tests run real attempts in real processes, for half a minute or so. They need pytest and a Linux with ``/proc``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from clockmill.executors.base import Executor, Started, SupervisorUp
from clockmill.executors.setup import ExecutorSetup
from clockmill.host.processes import ATTEMPT_MARK, SUPERVISOR_MARK, marked
from clockmill.testing.bench import ExecutorBench, ended, is_running, kill

#: So many times an executor may say that there is something to hear while nothing happens.
_LOOKS = 200


class ExecutorConformance:
    """The suite. Fill in ``executor_class``, or :meth:`make_executor` where making it takes more.

    After each test the executor is stopped, and no process, lock or descriptor of it may be left.
    """

    #: The class of the executor.
    executor_class: ClassVar[Any] = None
    #: What its section of the configuration says.
    options: ClassVar[Mapping[str, Any]] = {}
    #: What the tasks of the suite say to it.
    executor_config: ClassVar[Mapping[str, Any]] = {}

    def make_executor(self, setup: ExecutorSetup) -> Executor:
        """The executor to be tried, made from this setup and not started; called for each scheduler that a test has."""
        made: Executor = self.executor_class(setup)
        return made

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[ExecutorBench]:
        """Attempts to run, and executors to run them."""
        bench = ExecutorBench(tmp_path, self.make_executor, self.options, self.executor_config)
        yield bench
        bench.close()

    # --- attempts ---------------------------------------------------------------------------------------------------

    def test_it_runs_an_attempt_and_reports_all_that_came_of_it(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("work")
        report = driver.run(workload)
        assert (report.outcome, report.exit_code, report.signal) == ("success", 0, None)
        assert report.token == workload.token
        assert report.started_at is not None and report.ended_at is not None
        assert report.started_at <= report.ended_at
        assert [list(pair) for pair in report.xcoms] == [["return_value", "42"]]
        assert driver.said(workload, "ran") == [workload.idempotency_key]
        assert "hello, world" in bench.log(workload)

    def test_a_failure_is_reported_with_its_reason_and_the_traceback_is_in_the_log(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("fail")
        report = driver.run(workload)
        assert (report.outcome, report.xcoms) == ("failed", [])
        assert "this is what went wrong" in report.reason
        assert "Traceback" in bench.log(workload)

    def test_a_process_that_is_killed_is_lost_and_uses_no_try(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("crash")
        report = driver.run(workload)
        assert (report.outcome, report.signal) == ("lost", 9)

    def test_an_attempt_that_takes_too_long_fails(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("wait", execution_timeout=0.2)
        report = driver.run(workload)
        assert report.outcome == "failed"
        assert marked(ATTEMPT_MARK, workload.attempt_id) == []

    def test_the_log_is_complete_and_in_order_when_the_end_is_reported(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("chatter")
        driver.submit(workload)
        driver.finished(workload)
        log = bench.log(workload)
        told = [line.split(" line ")[1] for line in log.splitlines() if " line " in line]
        assert told == [str(number) for number in range(5000)]
        assert "last words" in log

    def test_what_an_attempt_left_behind_is_gone_when_its_end_is_reported(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("linger")
        driver.submit(workload)
        [pid] = driver.said(workload, "begin")
        driver.finished(workload)
        assert not is_running(int(pid))

    def test_an_attempt_whose_token_is_stale_is_ended(self, bench: ExecutorBench) -> None:
        driver, mine, stale = bench.start(), bench.workload("ask"), bench.workload("ask")
        assert driver.run(mine).outcome == "success"
        assert driver.said(mine, "told") == ["value", "of", "x"]
        bench.disown(stale)
        assert driver.run(stale).outcome == "stopped"
        assert bench.said(stale, "told") == []

    def test_an_attempt_that_is_submitted_again_runs_once(self, bench: ExecutorBench) -> None:
        driver, workload, last = bench.start(), bench.workload("work"), bench.workload("work")
        supervisor_id = driver.submit(workload, workload)
        driver.executor.submit(supervisor_id, [workload])
        driver.finished(workload)
        driver.executor.submit(supervisor_id, [workload])
        driver.run(last)
        assert len(bench.said(workload, "ran")) == 1

    # --- stopping attempts ------------------------------------------------------------------------------------------

    def test_an_attempt_is_stopped_with_all_its_processes(self, bench: ExecutorBench) -> None:
        driver, workload, other = bench.start(), bench.workload("wait"), bench.workload("gate")
        driver.submit(workload)
        driver.submit(other)
        driver.said(workload, "begin")
        driver.stop_at_once(workload, reason="somebody asked for it")
        report = driver.finished(workload)
        assert (report.outcome, report.reason) == ("stopped", "somebody asked for it")
        assert marked(ATTEMPT_MARK, workload.attempt_id) == []
        bench.open_gate(other)
        assert driver.finished(other).outcome == "success"

    def test_an_attempt_that_ignores_term_is_killed_after_its_grace(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("stubborn", kill_grace=0.2)
        driver.submit(workload)
        [child] = driver.said(workload, "begin")
        driver.stop_at_once(workload)
        report = driver.finished(workload)
        assert (report.outcome, report.signal) == ("stopped", 9)
        assert not is_running(int(child))

    def test_stopping_what_is_over_or_unknown_is_harmless(self, bench: ExecutorBench) -> None:
        driver, over, unknown, last = bench.start(), *(bench.workload("work") for _ in range(3))
        driver.run(over)
        driver.stop_at_once(over, unknown)
        assert driver.run(last).outcome == "success"
        assert [report.attempt_id for report in driver.reports()] == [over.attempt_id, last.attempt_id]

    # --- slots ------------------------------------------------------------------------------------------------------

    def test_it_has_as_many_slots_as_it_was_given_and_says_which_are_free(self, bench: ExecutorBench) -> None:
        driver, workloads = bench.start(slots=2), [bench.workload("gate") for _ in range(2)]
        ident = driver.up().supervisor.id
        assert driver.up().supervisor.slots == 2
        assert driver.executor.free_slots() == {ident: 2}
        driver.submit(workloads[0])
        assert driver.executor.free_slots() == {ident: 1}
        driver.submit(workloads[1])
        assert driver.executor.free_slots() == {}
        bench.open_gate(workloads[0])
        driver.finished(workloads[0])
        assert driver.executor.free_slots() == {ident: 1}
        bench.open_gate(workloads[1])
        driver.finished(workloads[1])
        assert driver.executor.free_slots() == {ident: 2}

    def test_never_more_run_at_once_than_it_has_slots(self, bench: ExecutorBench) -> None:
        driver, workloads = bench.start(slots=2), [bench.workload("gate") for _ in range(6)]
        driver.submit(*workloads)
        for _ in workloads:
            running = driver.wait(
                lambda: next((w for w in workloads if bench.said(w, "begin") and not bench.said(w, "end")), None),
                "the next attempt to begin",
            )
            driver.started(running)
            bench.open_gate(running)
            assert driver.finished(running).outcome == "success"
        assert 1 <= bench.most_at_once() <= 2

    def test_two_of_a_kind_live_side_by_side(self, bench: ExecutorBench) -> None:
        one, two = bench.start(name="one", slots=1), bench.start(name="two", slots=3)
        assert (one.executor.name, two.executor.name) == ("one", "two")
        first, second = one.up().supervisor, two.up().supervisor
        assert (first.id != second.id, first.slots, second.slots) == (True, 1, 3)
        assert one.run(bench.workload("work")).outcome == two.run(bench.workload("work")).outcome == "success"
        assert (set(one.supervisor_ids), set(two.supervisor_ids)) == ({first.id}, {second.id})

    # --- events -----------------------------------------------------------------------------------------------------

    def test_an_attempt_begins_on_a_supervisor_that_is_up_and_ends_once(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("gate")
        driver.submit(workload)
        began = driver.started(workload)
        assert (began.attempt_id, began.token) == (workload.attempt_id, workload.token)
        bench.open_gate(workload)
        report = driver.finished(workload)
        assert report.started_at == began.started_at
        kinds = [type(event) for event in driver.events]
        assert kinds.index(SupervisorUp) < kinds.index(Started) == len(kinds) - 2
        assert kinds.count(Started) == len(driver.reports()) == 1

    def test_it_lets_the_scheduler_sleep_while_nothing_happens(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("gate")
        driver.submit(workload)
        driver.started(workload)
        assert any(driver.is_quiet() for _ in range(_LOOKS))
        bench.open_gate(workload)
        driver.finished(workload)
        assert any(driver.is_quiet() for _ in range(_LOOKS))

    def test_a_supervisor_that_dies_takes_what_it_held_along_and_is_replaced(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("stubborn")
        driver.submit(workload)
        [child] = driver.said(workload, "begin")
        first = driver.up().supervisor
        assert not driver.executor.is_dead(first.id)
        kill(first.pid)
        assert driver.down(first.id).reason
        assert marked(ATTEMPT_MARK, workload.attempt_id) == marked(SUPERVISOR_MARK, first.id) == []
        assert not is_running(int(child))
        assert driver.executor.is_dead(first.id)
        second = driver.up(first.id).supervisor
        assert driver.executor.free_slots() == {second.id: 2}
        assert driver.run(bench.workload("work")).outcome == "success"

    def test_nothing_is_said_of_a_supervisor_that_it_never_had(self, bench: ExecutorBench) -> None:
        driver = bench.start()
        assert not driver.executor.is_dead("a-supervisor-of-somebody-else")

    # --- the next scheduler -----------------------------------------------------------------------------------------

    def test_what_runs_is_adopted_by_the_next_scheduler(self, bench: ExecutorBench) -> None:
        first, workload = bench.start(), bench.workload("gate")
        first.submit(workload)
        first.started(workload)
        supervisor = first.up().supervisor
        first.detach()
        second = bench.start()
        up = second.up()
        assert (up.supervisor, sorted(up.holds)) == (supervisor, [workload.attempt_id])
        assert second.executor.free_slots() == {supervisor.id: 1}
        assert not second.executor.is_dead(supervisor.id)
        bench.open_gate(workload)
        assert second.finished(workload).outcome == "success"
        assert len(bench.said(workload, "begin")) == 1

    def test_an_adopted_attempt_can_be_stopped(self, bench: ExecutorBench) -> None:
        first, workload = bench.start(), bench.workload("wait")
        first.submit(workload)
        first.started(workload)
        first.detach()
        second = bench.start()
        second.up()
        second.stop_at_once(workload)
        assert second.finished(workload).outcome == "stopped"

    def test_a_report_is_repeated_to_each_scheduler_until_it_is_acknowledged(self, bench: ExecutorBench) -> None:
        first, workload = bench.start(), bench.workload("work")
        first.submit(workload)
        report = first.finished(workload)
        first.detach()
        second = bench.start()
        assert second.up().holds == {workload.attempt_id}
        assert second.finished(workload) == report
        second.acknowledge_all()
        second.detach()
        third = bench.start()
        assert third.up().holds == frozenset()
        assert third.run(bench.workload("work")).outcome == "success"
        assert workload.attempt_id not in [each.attempt_id for each in third.reports()]

    # --- the end ----------------------------------------------------------------------------------------------------

    def test_one_that_is_drained_takes_no_work_and_ends_what_it_has(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("gate")
        driver.submit(workload)
        driver.started(workload)
        driver.executor.drain()
        assert driver.executor.free_slots() == {}
        bench.open_gate(workload)
        assert driver.finished(workload).outcome == "success"
        assert driver.executor.free_slots() == {}

    def test_stopping_it_waits_for_its_grace(self, bench: ExecutorBench) -> None:
        driver, workload = bench.start(), bench.workload("gate")
        ident = driver.submit(workload)
        driver.started(workload)
        driver.executor.stop(1e9)
        assert driver.executor.free_slots() == {}
        assert driver.executor.is_busy()
        bench.open_gate(workload)
        assert driver.finished(workload).outcome == "success"
        driver.acknowledge_all()
        driver.down(ident)
        assert not driver.executor.is_busy()

    def test_what_runs_longer_than_the_grace_is_given_back(self, bench: ExecutorBench) -> None:
        driver, workloads = bench.start(slots=1), [bench.workload("stubborn"), bench.workload("work")]
        ident = driver.submit(*workloads)
        driver.said(workloads[0], "begin")
        driver.executor.stop(300)
        driver.executor.stop(0)
        driver.executor.stop(0)
        assert [driver.finished(each).outcome for each in workloads] == ["released", "released"]
        driver.acknowledge_all()
        driver.down(ident)
        assert bench.said(workloads[1], "ran") == []
        assert not driver.executor.is_busy()

    def test_without_a_scheduler_it_ends_after_its_grace_and_what_it_reports_is_kept(
        self, bench: ExecutorBench
    ) -> None:
        first, workload = bench.start(orphan_grace=0.2), bench.workload("wait")
        first.submit(workload)
        first.started(workload)
        supervisor = first.up().supervisor
        with ended(supervisor.pid):
            first.detach()
        second = bench.start()
        report = second.finished(workload)
        assert report.outcome == "released"
        second.down(supervisor.id)
        second.detach()
        third = bench.start()
        assert third.finished(workload) == report
