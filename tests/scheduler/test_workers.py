"""What workers claim, run and report, and what becomes of it when they are gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from clockmill import DAG, task
from clockmill.actions.explain import Explanation, explain
from clockmill.clock import iso
from clockmill.errors import GatewayUnavailable, WorkerGone
from clockmill.protocols.workers import Exchange
from clockmill.runtime.remote.client import Refused
from clockmill.scheduler.agenda import Agenda
from clockmill.scheduler.steps.advance import Advance
from clockmill.scheduler.steps.collect import Inbox
from clockmill.scheduler.steps.mailbox import Mailbox
from clockmill.scheduler.workspace import Workspace
from clockmill.state import RunState, TaskState
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.storage.log_owners import hosts_of
from clockmill.storage.retention import prune_supervisors
from tests.works import START, Works, chain


def test_what_a_worker_claims_runs_once_and_its_values_are_seen(works: Works) -> None:
    mill = works.mill
    mill.add(chain())
    mill.trigger("d")
    [bell] = works.broker.rung
    assert mill.states("d")["one"] is TaskState.QUEUED
    worker, other = works.worker("w1"), works.worker("w2")
    [workload] = worker.claim(bell)
    assert other.claim(bell) == []
    assert (workload.task_id, workload.token) == ("one", bell.token)
    worker.say(held=[bell.attempt_id], started=[[bell.attempt_id, bell.token, iso(mill.clock.now())]])
    mill.pump()
    assert mill.states("d")["one"] is TaskState.RUNNING
    report = worker.report(workload, xcoms=[["return_value", "1"]])
    assert worker.say(held=[bell.attempt_id], reports=[report]).taken == [bell.attempt_id]
    assert worker.say(reports=[report]).workloads == []  # said twice, and not yet applied
    mill.pump()
    assert mill.states("d") == {"one": TaskState.SUCCESS, "two": TaskState.QUEUED}
    assert mill.db.read(lambda c: c.execute(select(tables.xcom.c.value)).scalar_one()) == "1"
    [_, second] = works.broker.rung
    [workload] = worker.claim(second)
    worker.say(reports=[worker.report(workload)])
    mill.pump()
    assert mill.run_state("d") is RunState.SUCCESS
    assert works.left() == (0, 0)


def test_a_worker_is_told_to_stop_what_a_person_cleared_and_only_then_the_next_try_is_offered(works: Works) -> None:
    mill = works.mill
    mill.add(chain(1))
    mill.trigger("d")
    [bell] = works.broker.rung
    worker = works.worker()
    [workload] = worker.claim(bell)
    mill.clear("d", "one")
    assert worker.say(held=[bell.attempt_id]).stop == [bell.attempt_id]
    assert works.broker.rung == [bell]
    worker.say(held=[bell.attempt_id], reports=[worker.report(workload, "stopped", reason="stopped")])
    mill.pump()
    assert len(works.broker.rung) == 2


def test_a_worker_is_told_to_stop_what_is_no_longer_its_own(works: Works) -> None:
    works.mill.add(chain(1))
    works.mill.trigger("d")
    [bell] = works.broker.rung
    first = works.worker("w1")
    first.claim(bell)
    works.worker("w2", follows="w1", held=[[bell.attempt_id, bell.token]])
    other = works.worker("w3")
    assert other.say(held=[bell.attempt_id]).stop == [bell.attempt_id]


def test_a_start_at_a_moment_that_nobody_can_read_is_refused_with_its_letter(works: Works) -> None:
    works.mill.add(chain())
    works.mill.trigger("d")
    worker = works.worker()
    [workload] = worker.claim(*works.broker.rung)
    with pytest.raises((ValueError, Refused)):
        worker.say(held=[workload.attempt_id], started=[[workload.attempt_id, workload.token, "yesterday"]])
    assert works.left() == (1, 0)


def test_a_letter_that_comes_after_a_later_one_is_not_taken(works: Works) -> None:
    works.mill.add(chain(1))
    works.mill.trigger("d")
    [bell] = works.broker.rung
    worker = works.worker()
    worker.say()
    worker.claim(bell)
    with pytest.raises(GatewayUnavailable, match=r"letter 1 .* after its letter 2"):
        worker.gateway.exchange(worker.id, Exchange(beat=1))
    assert worker.gateway.exchange(worker.id, Exchange(beat=2)).workloads != []


def test_a_worker_is_given_up_after_a_whole_lease_of_silence_and_not_a_moment_before(works: Works) -> None:
    mill = works.mill
    mill.add(chain(1))
    mill.trigger("d")
    worker = works.worker()
    worker.claim(*works.broker.rung)
    worker.say(held=[works.broker.rung[0].attempt_id])
    patient = works.worker("w2", lease_seconds=70.0)
    mill.pass_time(seconds=5)  # the first look that finds these beats
    for _ in range(11):
        mill.pass_time(seconds=5)
    assert mill.row("d", "one").crashes == 0
    mill.pass_time(seconds=5)
    assert mill.row("d", "one").crashes == 1
    assert "silent for 60 s" in mill.db.read(
        lambda c: c.execute(select(tables.attempt.c.reason).where(tables.attempt.c.state == "lost")).scalar_one()
    )
    with pytest.raises(WorkerGone):
        worker.say()
    mill.pass_time(seconds=5)
    assert patient.say().stop == []
    for _ in range(14):
        mill.pass_time(seconds=5)
    assert patient.say().stop == []
    for _ in range(15):
        mill.pass_time(seconds=5)
    with pytest.raises(WorkerGone):
        patient.say()


def test_what_a_worker_reported_before_it_fell_silent_counts(works: Works) -> None:
    mill = works.mill
    mill.add(chain(1))
    mill.trigger("d")
    worker = works.worker()
    [workload] = worker.claim(*works.broker.rung)
    worker.say(reports=[worker.report(workload)])
    worker.gateway.leave("w1")
    mill.pump()
    assert mill.run_state("d") is RunState.SUCCESS


def test_a_worker_that_begins_again_keeps_what_it_finds_and_loses_the_rest_at_once(works: Works) -> None:
    mill = works.mill
    with DAG("d", start_date=START, schedule=None) as dag:
        for name in ("kept", "gone"):
            task(task_id=name)(lambda: None)()
    mill.add(dag)
    mill.trigger("d")
    before = {workload.task_id: workload for workload in works.worker("w1").claim(*works.broker.rung)}
    kept = before["kept"]
    after = works.worker("w2", follows="w1", held=[[kept.attempt_id, kept.token]])
    mill.pump()
    assert (mill.row("d", "kept").crashes, mill.row("d", "gone").crashes) == (0, 1)
    assert after.say(held=[kept.attempt_id], want=0).workloads == []
    after.say(reports=[after.report(kept)])
    mill.pump()
    assert mill.row("d", "kept").state is TaskState.SUCCESS


def test_a_report_for_a_run_that_cannot_be_read_waits_until_it_can_and_holds_up_no_other(
    works: Works, open_database: Callable[[], Database]
) -> None:
    mill = works.mill
    for name in ("sick", "well"):
        with DAG(name, start_date=START, schedule=None) as dag:
            task(task_id="one")(lambda: None)()
        mill.add(dag)
        mill.trigger(name)
    worker = works.worker()
    workloads = worker.claim(*works.broker.rung)
    versions = tables.dag_version
    sick = update(versions).where(versions.c.dag_id == "sick")
    document = mill.db.read(
        lambda c: c.execute(select(versions.c.document).where(versions.c.dag_id == "sick")).scalar_one()
    )
    mill.db.write(lambda c: c.execute(sick.values(document="{}")))
    works.restart(open_database())
    worker.say(reports=[worker.report(workload) for workload in workloads])
    mill.pump()
    assert (mill.run_state("sick"), mill.run_state("well")) == (RunState.RUNNING, RunState.SUCCESS)
    assert works.left() == (1, 1)
    mill.db.write(lambda c: c.execute(sick.values(document=document)))
    works.restart(open_database())
    mill.pump()
    assert mill.run_state("sick") is RunState.SUCCESS


def test_why_says_who_has_the_slots_of_workers_and_which_of_them_is_silent(works: Works) -> None:
    mill = works.mill
    with DAG("d", start_date=START, schedule=None, max_active_tasks=100) as dag:
        for name, weight in (("one", 2), ("two", 1)):
            task(task_id=name, priority_weight=weight)(lambda: None)()
    mill.add(dag)
    mill.trigger("d")
    worker = works.worker(slots=1)
    [workload] = worker.say(want=1).workloads
    worker.say(held=[workload["attempt_id"]])

    def why(task_id: str) -> Explanation:
        return mill.db.read(lambda connection: explain(connection, "d", "r1", task_id, now=mill.clock.now()))

    waits = why("two")
    assert waits.verdict == ("Every slot of the worker that serves the queue 'default' of broker is taken: 1 of 1.")
    assert [holder.what for holder in waits.holders] == ["d r1 one (1 slot)"]
    assert why("one").verdict.startswith("It is running since")
    assert workload["attempt_id"] in why("one").details[0]
    mill.clock.advance(16)
    assert why("one").details[0] == (
        "Its worker w1 on elsewhere has been silent for 16 s; after 60 s it is given up, and the attempt is lost."
    )


def test_long_gone_workers_are_forgotten_while_what_they_ran_stays(works: Works) -> None:
    mill = works.mill
    mill.add(chain())
    mill.trigger("d")
    ran, holds, _ = works.worker("ran"), works.worker("holds"), works.worker("there")
    [workload] = ran.claim(*works.broker.rung)
    ran.say(reports=[ran.report(workload)])
    mill.pump()
    [second] = holds.claim(works.broker.rung[-1])
    gone = update(tables.supervisor).where(tables.supervisor.c.id.in_(["ran", "holds"])).values(is_alive=False)
    mill.db.write(lambda connection: connection.execute(gone))

    def known(**since: float) -> set[str]:
        moment = mill.clock.now() + timedelta(**since)
        mill.db.write(lambda connection: prune_supervisors(connection, moment, limit=9))
        workers = select(tables.supervisor.c.id).where(tables.supervisor.c.executor == "broker")
        return set(mill.db.read(lambda connection: connection.scalars(workers).all()))

    assert known() == {"ran", "holds", "there"}
    assert known(microseconds=1) == {"holds", "there"}  # what it held is still live
    hosts = mill.db.read(lambda connection: hosts_of(connection, [workload.attempt_id, second.attempt_id]))
    assert hosts == {workload.attempt_id: "ran", second.attempt_id: "elsewhere"}


def test_two_schedulers_that_read_the_same_reports_apply_them_once(works: Works, database: Database) -> None:
    mill = works.mill
    mill.add(chain())
    mill.trigger("d")
    worker = works.worker()
    [workload] = worker.claim(*works.broker.rung)
    worker.say(reports=[worker.report(workload, xcoms=[["return_value", "1"]])])

    executors = {"broker": works.broker, "scripted": mill.executor}
    inboxes = []
    for _ in range(2):
        space = Workspace(database, mill.clock, mill.settings, executors)
        inboxes.append((Advance(space), Inbox()))
        Mailbox(space).read(inboxes[-1][1], [])
    assert [list(inbox.reports) for _, inbox in inboxes] == [[workload.attempt_id]] * 2
    for advance, inbox in inboxes:
        advance.run_once(inbox, Agenda())

    assert mill.states("d") == {"one": TaskState.SUCCESS, "two": TaskState.QUEUED}
    assert len(works.broker.rung) == 2
    assert mill.db.read(lambda c: c.execute(select(tables.xcom.c.value)).scalars().all()) == ["1"]
    assert works.left() == (1, 0)


def test_what_runs_by_an_executor_that_is_chosen_no_more_is_stopped_at_once_and_then_waits_for_it(
    works: Works, database: Database
) -> None:
    mill = works.mill
    with DAG("d", start_date=START, schedule=None) as dag:

        @task(executor="broker")
        def one() -> None: ...

        one()
    mill.add(dag)
    mill.trigger("d")
    [bell] = works.broker.rung
    worker = works.worker()
    [workload] = worker.claim(bell)
    works.restart(database, retired=True)
    mill.clear("d", "one")
    assert works.broker.nudged == [bell.attempt_id]
    worker.say(held=[bell.attempt_id], reports=[worker.report(workload, "stopped")])
    mill.pump()
    assert mill.states("d")["one"] is TaskState.SCHEDULED
    assert works.broker.rung == [bell]
    why = mill.db.read(lambda connection: explain(connection, "d", "r1", "one", executors=["scripted"]))
    assert why.verdict == "[core] executor does not name its executor 'broker', so no scheduler has it run."
    works.restart(database)
    mill.pump()
    assert mill.states("d")["one"] is TaskState.QUEUED
