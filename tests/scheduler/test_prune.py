"""What a scheduler lets go of by itself."""

from __future__ import annotations

from typing import Any

from clockmill.host.locks import LifeLock
from clockmill.storage.components import beat, list_components


def test_a_service_that_was_killed_is_shown_for_a_day(mill: Any) -> None:
    mill.db.write(lambda c: beat(c, "triggerer", "killed", mill.clock.now(), period_seconds=5.0))

    def shown() -> bool:
        return "killed" in {each.instance for each in mill.db.read(list_components)}

    mill.pass_time(hours=24)
    assert shown()
    mill.pass_time(minutes=10)
    assert not shown()
    assert {each.name for each in mill.db.read(list_components)} == {"scheduler"}


def test_a_scheduler_takes_the_place_of_those_that_were_killed_on_its_home(mill: Any) -> None:
    lives = mill.settings.run_folder / "scheduler-lives"
    alive = LifeLock(lives, "alive").hold()
    (lives / "killed.lock").touch()
    for name in ("alive", "killed", "of another home"):
        mill.db.write(lambda c, name=name: beat(c, "scheduler", name, mill.clock.now(), period_seconds=5.0))
    mill.db.write(lambda c: beat(c, "triggerer", "killed", mill.clock.now(), period_seconds=5.0))

    mill.restart()

    found = [(each.name, each.instance) for each in mill.db.read(list_components)]
    assert found == [("scheduler", "alive"), ("scheduler", "of another home"), ("triggerer", "killed")]
    assert [each.name for each in lives.iterdir()] == ["alive.lock"]
    alive.remove()
