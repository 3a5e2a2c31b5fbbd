"""Work that workers claim from the database, after a doorbell that may or may not have been heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from clockmill import DAG, task
from clockmill.actions.explain import Explanation, explain
from clockmill.clock import iso
from clockmill.errors import GatewayUnavailable, WorkerGone
from clockmill.executors.base import Executor, Offer
from clockmill.protocols import AttemptReport, Workload
from clockmill.protocols.workers import Exchange, ExchangeAnswer, WorkerGateway, WorkerInfo
from clockmill.runtime.remote.client import Client, Refused
from clockmill.runtime.remote.worker import HttpWorkerGateway
from clockmill.scheduler.agenda import Agenda
from clockmill.scheduler.service import SchedulerService
from clockmill.scheduler.steps.advance import Advance
from clockmill.scheduler.steps.collect import Inbox
from clockmill.scheduler.steps.mailbox import Mailbox
from clockmill.scheduler.workspace import Workspace
from clockmill.state import RunState, TaskState
from clockmill.storage import tables
from clockmill.storage.crypto import Cipher, create_key_file
from clockmill.storage.engine import Database
from clockmill.storage.gateway import DatabaseGateway
from clockmill.storage.log_owners import hosts_of
from clockmill.storage.retention import prune_supervisors
from clockmill.storage.worker_gateway import DatabaseWorkerGateway
from clockmill.testing.broker import ScriptedBroker
from clockmill.testing.execution import execution_server
from tests.mill import Mill, SilentListener

START = datetime.fromisoformat("2026-01-01T00:00:00+00:00")


@dataclass
class Worker:
    """What a worker says, said by the test."""

    gateway: WorkerGateway
    clock: Any
    id: str
    beat: int = 0

    def say(self, **said: Any) -> ExchangeAnswer:
        self.beat += 1
        return self.gateway.exchange(self.id, Exchange(beat=self.beat, **said))

    def claim(self, *offers: Offer) -> list[Workload]:
        answer = self.say(claims=[[offer.attempt_id, offer.token] for offer in offers])
        return [Workload.from_json(each) for each in answer.workloads]

    def report(self, workload: Workload, outcome: str = "success", **told: Any) -> dict[str, Any]:
        moment = iso(self.clock.now())
        return AttemptReport(
            attempt_id=workload.attempt_id,
            token=workload.token,
            outcome=outcome,
            started_at=moment,
            ended_at=moment,
            **told,
        ).to_json()


@dataclass
class Works:
    """A scheduler with a brokered executor, and its workers."""

    mill: Mill
    broker: ScriptedBroker
    open_gateway: Callable[[], WorkerGateway]

    def worker(
        self,
        ident: str = "w1",
        slots: int = 2,
        resources: dict[str, float] | None = None,
        lease_seconds: float | None = None,
        **followed: Any,
    ) -> Worker:
        gateway = self.open_gateway()
        info = WorkerInfo(
            id=ident,
            executor="broker",
            host="elsewhere",
            boot_id="b",
            pid=7,
            slots=slots,
            queues=["default"],
            version="1",
            resources=resources or {},
            lease_seconds=lease_seconds,
        )
        gateway.register(info, **followed)
        return Worker(gateway, self.mill.clock, ident)

    def restart(self, database: Database, *, retired: bool = False) -> None:
        """Another scheduler, with nothing in memory.

        :param retired: whether its settings name the brokered executor no more.
        """
        mill = self.mill
        mill.listener = SilentListener()
        chosen: dict[str, Executor] = {"broker": self.broker, "scripted": mill.executor}
        gone = {"broker": chosen.pop("broker")} if retired else {}
        mill.service = SchedulerService(database, mill.clock, mill.settings, chosen, mill.listener, retired=gone)
        mill.service.start()
        mill.services.append(mill.service)

    def left(self) -> tuple[int, int]:
        """How many offers and reports are kept."""

        def count(table: Any) -> int:
            return int(self.mill.db.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one()))

        return count(tables.offer), count(tables.worker_report)


@pytest.fixture
def direct(mill: Mill, open_database: Callable[[], Database]) -> Callable[[], WorkerGateway]:
    """Opens the gateway on the database itself."""
    return lambda: DatabaseWorkerGateway(open_database(), mill.settings.run_folder, mill.clock)


@pytest.fixture
def over_http(
    direct: Callable[[], WorkerGateway], open_database: Callable[[], Database], tmp_path: Path
) -> Iterator[Callable[[], WorkerGateway]]:
    """Opens the gateway of a worker that holds no credentials of the database."""
    create_key_file(tmp_path / "fernet.key")
    reads = DatabaseGateway(open_database(), Cipher(tmp_path / "fernet.key"))
    clients: list[Client] = []
    with execution_server(direct(), reads, b"secret") as address:

        def open_it() -> WorkerGateway:
            clients.append(Client(address, b"secret"))
            return HttpWorkerGateway(clients[-1])

        yield open_it
        for client in clients:
            client.close()


@pytest.fixture(params=["direct", "over_http"])
def works(request: pytest.FixtureRequest, mill: Mill, open_database: Callable[[], Database]) -> Works:
    works = Works(mill, ScriptedBroker(), request.getfixturevalue(request.param))
    works.restart(open_database())
    return works


def chain(length: int = 2) -> DAG:
    with DAG("d", start_date=START, schedule=None) as dag:

        @task
        def one() -> int:
            return 1

        @task
        def two(value: int) -> None: ...

        first = one()
        if length > 1:
            two(first)
    return dag


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


def test_an_idle_worker_finds_work_whose_doorbell_was_lost(works: Works) -> None:
    works.mill.add(chain(1))
    works.mill.trigger("d")
    works.broker.rung.clear()
    [found] = works.worker().say(want=2).workloads
    assert found["task_id"] == "one"


def test_a_doorbell_is_rung_again_after_15_seconds_and_then_twice_as_late(works: Works) -> None:
    mill = works.mill
    mill.add(chain(1))
    mill.trigger("d")
    [bell] = works.broker.rung
    mill.pass_time(seconds=14.999)
    assert works.broker.rung == [bell]
    mill.pass_time(seconds=0.001)
    assert works.broker.rung == [bell, bell]
    mill.pass_time(seconds=29.999)
    assert works.broker.rung == [bell, bell]
    mill.pass_time(seconds=0.001)
    assert works.broker.rung == [bell, bell, bell]
    works.worker().claim(bell)
    mill.pass_time(seconds=45)
    assert works.broker.rung == [bell, bell, bell]


def test_a_claim_whose_answer_was_lost_is_answered_again(works: Works) -> None:
    works.mill.add(chain(1))
    works.mill.trigger("d")
    [bell] = works.broker.rung
    worker = works.worker()
    [first], [again] = worker.claim(bell), worker.claim(bell)
    assert first == again


def test_what_is_stopped_before_anybody_claimed_it_never_begins(works: Works) -> None:
    mill = works.mill
    mill.add(chain(1))
    mill.trigger("d")
    [bell] = works.broker.rung
    mill.clear("d", "one")
    [_, second] = works.broker.rung
    assert works.worker().claim(bell, second)[0].attempt_id == second.attempt_id
    assert mill.row("d", "one").try_number == 2


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


def test_no_more_is_offered_than_workers_can_soon_run(works: Works) -> None:
    mill = works.mill
    with DAG("d", start_date=START, schedule=None, max_active_tasks=1000) as dag:
        for number in range(80):
            task(task_id=f"t{number}")(lambda: None)()
    mill.add(dag)
    mill.trigger("d")
    assert len(works.broker.rung) == 16
    worker = works.worker(slots=20)
    mill.pump()
    assert len(works.broker.rung) == 40
    claimed = worker.claim(*works.broker.rung[:20])
    worker.say(reports=[worker.report(workload) for workload in claimed])
    mill.pump()
    assert len(works.broker.rung) == 60


def test_what_waits_in_a_queue_that_nobody_serves_or_that_is_full_keeps_no_worker_of_another_waiting(
    works: Works,
) -> None:
    mill = works.mill
    with DAG("d", start_date=START, schedule=None, max_active_tasks=1000) as dag:
        for number in range(40):
            task(task_id=f"l{number}", queue="large", priority_weight=9)(lambda: None)()
        for number in range(20):
            task(task_id=f"s{number}")(lambda: None)()
    mill.add(dag)
    mill.trigger("d")
    assert [bell.queue for bell in works.broker.rung] == ["large"] * 16
    worker = works.worker()
    mill.pump()
    assert [bell.queue for bell in works.broker.rung[16:]] == ["default"] * 16
    answer = mill.db.read(lambda connection: explain(connection, "d", "r1", "l20", default_executor="broker"))
    assert answer.verdict == "No worker serves the queue 'large' of broker; served are 'default'."
    waits = "also: As many tasks of the queue 'large' as broker offers at once wait for workers already."
    assert waits in answer.details
    claimed = worker.claim(*works.broker.rung[16:19])
    worker.say(reports=[worker.report(workload) for workload in claimed])
    mill.pump()
    assert [bell.queue for bell in works.broker.rung[32:]] == ["default"] * 3


def wide(tasks: int) -> DAG:
    with DAG("d", start_date=START, schedule=None, max_active_tasks=1000) as dag:
        for number in range(tasks):
            task(task_id=f"t{number}")(lambda: None)()
    return dag


def test_while_tasks_are_short_as_many_wait_for_workers_as_were_over_in_the_last_quarter_of_a_second(
    works: Works,
) -> None:
    mill = works.mill
    mill.add(wide(200))
    mill.trigger("d")
    worker = works.worker(slots=2)
    taken = [Workload.from_json(each) for each in worker.say(want=16).workloads]
    worker.say(reports=[worker.report(each) for each in taken])
    mill.pump()
    assert works.left()[0] == 18  # its slots, and as many as were over
    mill.clock.advance(0.251)
    taken = [Workload.from_json(each) for each in worker.say(want=1).workloads]
    worker.say(reports=[worker.report(each) for each in taken])
    mill.pump()
    assert works.left()[0] == 17


def test_nobody_is_called_while_all_workers_are_full_and_what_was_not_rung_for_is_once_one_of_them_is_not(
    works: Works,
) -> None:
    mill = works.mill
    mill.add(wide(18))
    mill.trigger("d")
    worker, other = works.worker("w1", slots=1), works.worker("w2", slots=1)
    assert len(works.broker.rung) == 16
    [first], [second, third] = worker.say(want=1).workloads, other.say(want=2).workloads
    works.broker.rung.clear()
    worker.say(reports=[worker.report(Workload.from_json(first))])
    mill.pump()
    assert len(works.broker.rung) == 1  # it could take one, and asked for none
    worker.say(want=1)
    for done in (second, third):
        works.broker.rung.clear()
        other.say(reports=[other.report(Workload.from_json(done))])
        mill.pump()
        assert len(works.broker.rung) == (1 if done is third else 0)


def test_a_task_may_name_either_executor(works: Works) -> None:
    mill = works.mill
    with DAG("d", start_date=START, schedule=None) as dag:
        task(task_id="here", executor="scripted")(lambda: None)()
        task(task_id="there")(lambda: None)()
    mill.add(dag)
    mill.trigger("d")
    assert mill.executor.running() == ["here"]
    assert [workload.task_id for workload in works.worker().claim(*works.broker.rung)] == ["there"]


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


def asking(dag_id: str = "d", **asks: Any) -> DAG:
    with DAG(dag_id, start_date=START, schedule=None, max_active_tasks=100) as dag:
        for name, asked in asks.items():
            task(task_id=name, resources=asked)(lambda: None)()
    return dag


def test_what_asks_for_resources_is_offered_when_a_worker_has_them_free(works: Works) -> None:
    mill = works.mill
    many = {f"x{number}": {"gpu": 1} for number in range(40)}
    mill.add(asking(**many, big={"cpu": 8}, plain=None))
    mill.trigger("d")
    assert mill.states("d")["plain"] is TaskState.QUEUED
    assert len(works.broker.rung) == 1
    small = works.worker("small", resources={"cpu": 2, "gpu": 1})
    mill.pump()
    [_, bell] = works.broker.rung
    [first] = small.claim(bell)
    assert first.resources == {"gpu": 1}
    works.worker("large", resources={"cpu": 8})
    mill.pump()
    assert len(works.broker.rung) == 3
    small.say(reports=[small.report(first)])
    mill.pump()
    assert len(works.broker.rung) == 4


def test_a_worker_gets_no_more_than_what_it_has_free_and_is_told_to_come_later(works: Works) -> None:
    mill = works.mill
    one, two = works.worker("one", resources={"cpu": 2}), works.worker("two", resources={"cpu": 2})
    mill.add(asking(a={"cpu": 2}, b={"cpu": 2}))
    mill.trigger("d")
    bells = list(works.broker.rung)
    assert len(bells) == 2
    answer = one.say(claims=[[bell.attempt_id, bell.token] for bell in bells])
    [mine] = answer.workloads
    [later] = answer.later
    assert {mine["attempt_id"], later} == {bell.attempt_id for bell in bells}
    assert one.say(held=[mine["attempt_id"]], want=1).workloads == []
    gone = [bell for bell in bells if bell.attempt_id == mine["attempt_id"]]
    assert two.say(claims=[[bell.attempt_id, bell.token] for bell in gone]).later == []
    [theirs] = two.say(want=1).workloads
    assert theirs["attempt_id"] == later


def test_small_offers_do_not_take_from_a_worker_what_a_large_one_waits_for(works: Works) -> None:
    mill = works.mill
    first, second = works.worker("first", resources={"cpu": 4}), works.worker("second", resources={"cpu": 1})
    mill.add(asking("a", small={"cpu": 1}))
    mill.add(asking("b", large={"cpu": 4}))
    mill.trigger("b")
    mill.clock.advance(1)
    mill.trigger("a")
    _, small = works.broker.rung
    assert [workload.task_id for workload in first.claim(small)] == ["large"]  # each gets the first that it can have
    assert [workload.task_id for workload in second.claim(small)] == ["small"]


def test_why_says_what_keeps_workers_from_taking_what_is_offered(works: Works) -> None:
    mill = works.mill
    with DAG("d", start_date=START, schedule=None, max_active_tasks=100) as dag:
        task(task_id="one")(lambda: None)()
        task(task_id="far", queue="defualt")(lambda: None)()
        task(task_id="big", resources={"gpu": 2})(lambda: None)()
    mill.add(dag)
    mill.trigger("d")
    since = mill.clock.now()

    def why(task_id: str = "one") -> Explanation:
        known = {"default_executor": "broker", "now": mill.clock.now()}
        return mill.db.read(lambda connection: explain(connection, "d", "r1", task_id, **known))

    again = (
        f"It is offered to workers since {iso(since)}; its doorbell is rung again at "
        f"{iso(since + timedelta(seconds=15))}."
    )
    nobody = "No worker serves the queue 'default' of broker"
    assert (why().verdict, why().details) == (f"{nobody}: none is there.", [again])
    assert why("big").verdict == f"{nobody}: none is there."  # nobody could hold it: it stays scheduled
    worker = works.worker(slots=1, resources={"gpu": 1})
    worker.say()
    assert why().verdict == "1 worker serves the queue 'default' of broker: 0 of 1 slots are busy."
    assert why("far").verdict == (
        "No worker serves the queue 'defualt' of broker; served are 'default'. Did you mean 'default'?"
    )
    assert why("big").verdict == (
        "It asks for 2 gpu, which nobody offers: w1 on elsewhere has 1 gpu. It starts when somebody comes who does."
    )
    mill.clock.advance(15)
    assert why().verdict.startswith("1 worker serves")
    mill.clock.advance(1)
    assert why().verdict == (
        "No worker that serves the queue 'default' of broker is heard of: silent is w1 on elsewhere for 16 s; after "
        "60 s a worker is given up."
    )
    worker.say(is_draining=True)
    assert why().verdict == f"{nobody} any more: w1 on elsewhere is draining, which takes nothing new."
    worker.gateway.leave("w1")
    assert why().verdict == (
        f"{nobody}: none is there. The last one that did, w1 on elsewhere, was seen at {iso(mill.clock.now())}."
    )


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


def test_what_nobody_claimed_of_an_executor_that_is_chosen_no_more_goes_elsewhere(
    works: Works, database: Database
) -> None:
    mill = works.mill
    with DAG("d", start_date=START, schedule=None) as dag:
        for name in ("claimed", "open", "rung"):
            task(task_id=name)(lambda: None)()
    mill.add(dag)
    mill.trigger("d")
    worker = works.worker()
    claimed, *rest = works.broker.rung
    [workload] = worker.claim(claimed)
    works.restart(database, retired=True)
    claims = [[bell.attempt_id, bell.token] for bell in rest]
    assert worker.say(held=[claimed.attempt_id], claims=claims, want=4).workloads == []
    mill.pump()
    elsewhere = {"claimed", "open", "rung"} - {workload.task_id}
    assert set(mill.executor.running()) == elsewhere
    assert worker.say(reports=[worker.report(workload)]).taken == [claimed.attempt_id]
    for name in elsewhere:
        mill.finish(name)
    assert mill.run_state("d") is RunState.SUCCESS
    assert {mill.row("d", name).try_number for name in elsewhere} == {1}
    assert works.left() == (0, 0)


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
