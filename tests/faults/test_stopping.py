"""TERM and Ctrl-C: no new work, a grace for what runs, no try spent, nothing left; and the next start goes on."""

from __future__ import annotations

import signal
from collections import Counter

from tests.faults.harness import Mill, wait_until


def states(mill: Mill) -> Counter[str]:
    """How many attempts ended in which way."""
    return Counter(each.state for each in mill.evidence().attempts)


def test_what_runs_may_finish_and_nothing_new_begins(mill: Mill) -> None:
    mill.parse("fan.py")
    service = mill.standalone("--grace", "60")
    service.ready()
    mill.trigger("chain", "c")
    mill.trigger("fan", "f")
    mill.wait_for_entries("END", 5)
    wait_until(lambda: "chain/c/before" in mill.at_work(), "a task that takes long", tell=mill.tell)

    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping: no new work" in service.said(), "the word that it stops")
    wait_until(lambda: set(mill.live()) == {"chain/c/before"}, "the end of the short tasks", tell=mill.tell)
    begun = len(mill.entries("START"))
    mill.open_gate()
    assert service.end(signal.SIGCONT) == 0

    assert len(mill.entries("START")) == begun
    assert states(mill).keys() <= {"success", "released"}
    [(task, state)] = [(each.task, each.state) for each in mill.evidence().attempts if each.task.startswith("chain/")]
    assert (task, state) == ("chain/c/before", "success")
    mill.check_gone()
    goes_on(mill)


def test_what_runs_longer_than_the_grace_is_released_without_spending_a_try(mill: Mill) -> None:
    mill.parse("fan.py")
    service = mill.standalone("--grace", "0.5")
    service.ready()
    mill.trigger("long", "l")
    mill.wait_for_entries("START", 2)

    assert service.end(signal.SIGINT) == 0

    assert states(mill) == {"released": 2}
    assert [(each.try_number, each.crashes) for each in mill.evidence().tasks] == [(1, 0), (1, 0)]
    mill.check_gone()
    mill.open_gate()
    goes_on(mill)
    assert states(mill) == {"released": 2, "success": 2}


def test_a_second_signal_stops_at_once(mill: Mill) -> None:
    mill.parse("fan.py")
    service = mill.standalone("--grace", "3600")
    service.ready()
    mill.trigger("long", "l")
    mill.wait_for_entries("START", 2)

    service.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping: no new work" in service.said(), "the word that it stops")
    assert service.end(signal.SIGINT) == 0

    assert states(mill) == {"released": 2}
    mill.check_gone()


def test_a_scheduler_without_a_grace_leaves_its_tasks_to_the_next_one(mill: Mill) -> None:
    mill.parse("fan.py")
    first = mill.start("scheduler")
    mill.trigger("long", "l")
    mill.wait_for_entries("START", 2)

    assert first.end(signal.SIGTERM) == 0
    assert len(mill.task_processes()) == 2
    mill.open_gate()

    goes_on(mill)
    assert states(mill) == {"success": 2}


def goes_on(mill: Mill) -> None:
    """Start again: all that was left is done."""
    service = mill.start("scheduler", "--grace", "5")
    mill.wait_for_runs()
    mill.check()
    assert service.end() == 0
    mill.check_gone()
