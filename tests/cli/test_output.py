"""What rows look like on a terminal."""

from __future__ import annotations

import pytest
from rich.style import Style

from clockmill.cli.output import STATE_STYLES
from clockmill.state import TRANSITIONS

STATES = sorted({str(state) for states in TRANSITIONS for state in states})


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_colour(state: str) -> None:
    assert Style.parse(STATE_STYLES[state]).color is not None


def test_no_style_is_left_of_a_state_that_is_gone() -> None:
    assert STATE_STYLES.keys() == set(STATES)
