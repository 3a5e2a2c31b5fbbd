"""A bell wakes a loop, and is deaf once it is closed."""

from __future__ import annotations

import select

from clockmill.host.bell import Bell


def is_rung(bell: Bell) -> bool:
    return bool(select.select([bell], [], [], 0)[0])


def test_it_rings_until_it_is_hushed_however_often_it_was_rung() -> None:
    bell = Bell()
    assert not is_rung(bell)
    bell.ring()
    bell.ring()
    assert is_rung(bell)
    bell.hush()
    assert not is_rung(bell)
    bell.hush()
    bell.close()


def test_once_it_is_closed_it_hears_nobody() -> None:
    bell = Bell()
    bell.close()
    next_one = Bell()  # has the descriptor now that was free again
    bell.ring()
    assert not is_rung(next_one)
    next_one.close()
