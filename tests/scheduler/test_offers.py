"""What is offered to workers: how much, to whom, and when it is rung for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from clockmill import DAG, task
from clockmill.actions.explain import Explanation, explain
from clockmill.clock import iso
from clockmill.protocols import Workload
from clockmill.state import RunState, TaskState
from clockmill.storage.engine import Database
from tests.works import START, Works, chain


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
