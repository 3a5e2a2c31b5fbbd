"""SIGKILL for a task, a zygote, a supervisor, a scheduler, the whole tree, while sixty tasks pass through."""

from __future__ import annotations

from collections import Counter

from clockmill.storage.components import list_components
from tests.faults.evidence import Attempt, Evidence
from tests.faults.harness import Mill, kill, wait_until

#: Lost attempts are offered again so many seconds after the service is ready again.
OFFERED_WITHIN = 10.0
#: Tasks that run until the gate is open: a kill hits them, however far the others are by then.
LONG = {"long/all/one", "long/all/two"}


def states(evidence: Evidence) -> Counter[str]:
    """How many attempts ended in which way."""
    return Counter(each.state for each in evidence.attempts)


def test_killed_tasks_zygotes_and_supervisors_spend_the_crash_budget_alone(mill: Mill) -> None:
    mill.parse("fan.py")
    service = mill.start("scheduler", "--grace", "5")
    mill.trigger("long", "all")
    mill.trigger("fan", "all")

    for ended, victims in ((5, mill.task_processes), (20, mill.zygotes), (35, mill.supervisors), (45, mill.zygotes)):
        mill.wait_for_entries("END", ended)
        wait_until(lambda: mill.at_work().keys() >= LONG, "both long tasks", tell=mill.tell)
        kill(wait_until(victims, "somebody to kill", tell=mill.tell)[0])
    mill.open_gate()
    mill.wait_for_runs()

    evidence = mill.check()
    assert states(evidence)["success"] == 64
    assert states(evidence)["lost"] >= 3
    assert {each.try_number for each in evidence.tasks} == {1}
    assert service.end() == 0
    mill.check_gone()


def test_after_a_kill_of_the_whole_tree_what_was_lost_is_offered_again_at_once(mill: Mill) -> None:
    mill.parse("fan.py")
    known = mill.database.read(list_components)
    mill.standalone()
    mill.trigger("long", "all")
    mill.trigger("fan", "all")

    for ended in (10, 40):
        mill.wait_for_entries("END", ended)
        wait_until(lambda: mill.at_work().keys() >= LONG, "both long tasks", tell=mill.tell)
        mill.kill_all()
        lost = mill.live()
        assert lost.keys() >= LONG
        service = mill.standalone("--grace", "5")
        service.ready()
        wait_until(lambda lost=lost: are_offered(mill, lost), "all that was lost", OFFERED_WITHIN, mill.tell)
    mill.open_gate()
    mill.wait_for_runs()

    assert states(mill.check())["lost"] >= 4
    assert service.end() == 0
    assert mill.database.read(list_components) == known, "each took the place of the one that was killed"
    mill.check_gone()


def are_offered(mill: Mill, lost: dict[str, Attempt]) -> bool:
    """Whether each of these tasks has a newer attempt."""
    newest = {each.task: each for each in mill.evidence().attempts}
    return all(newest[task].id != old.id for task, old in lost.items())


def test_a_supervisor_killed_while_there_is_no_scheduler_is_found_dead_by_the_next_one(mill: Mill) -> None:
    mill.parse("fan.py")
    first = mill.start("scheduler")
    mill.trigger("long", "l")
    mill.wait_for_entries("START", 2)
    (supervisor,) = mill.supervisors()

    first.kill()
    kill(supervisor)
    mill.open_gate()
    last = mill.start("scheduler", "--grace", "5")
    mill.wait_for_runs()

    assert states(mill.check()) == {"lost": 2, "success": 2}
    assert last.end() == 0
    mill.check_gone()


def test_a_task_that_runs_while_its_scheduler_is_killed_and_restarted_is_adopted(mill: Mill) -> None:
    mill.parse("fan.py")
    service = mill.start("scheduler")
    mill.trigger("long", "l")
    mill.wait_for_entries("START", 2)

    for _ in range(2):
        service.kill()
        before = mill.epoch()
        service = mill.start("scheduler", "--grace", "5")
        wait_until(lambda before=before: mill.epoch() > before, "control of the supervisor", tell=mill.tell)
    mill.open_gate()
    mill.wait_for_runs()

    assert states(mill.check()) == {"success": 2}
    assert len(mill.entries("START")) == 2
    assert service.end() == 0
    mill.check_gone()


def test_a_task_that_ended_while_there_was_no_scheduler_is_not_run_again(mill: Mill) -> None:
    mill.parse("fan.py")
    first = mill.start("scheduler")
    mill.trigger("long", "l")
    mill.wait_for_entries("START", 2)

    first.kill()
    mill.open_gate()
    wait_until(lambda: not mill.task_processes(), "the end of the tasks")
    last = mill.start("scheduler", "--grace", "5")
    mill.wait_for_runs()

    assert states(mill.check()) == {"success": 2}
    assert len(mill.entries("START")) == 2
    assert last.end() == 0
    mill.check_gone()
