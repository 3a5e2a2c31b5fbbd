"""What a scheduler lets go of by itself."""

from __future__ import annotations

from typing import Any

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
