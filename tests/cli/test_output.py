"""What rows look like on a terminal."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest
from rich.style import Style

from clockmill.cli.output import STATE_STYLES, show_rows
from clockmill.state import TRANSITIONS


class Terminal(io.StringIO):
    """Somebody who looks."""

    def isatty(self) -> bool:
        return True


def test_on_a_narrow_terminal_ids_and_states_are_whole_and_moments_break_at_the_blank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    moment = datetime(2026, 1, 31, 6, 0, 0, 123456, tzinfo=UTC)
    row = {
        "task_id": "a" * 20,
        "state": "up_for_reschedule",
        "start_date": moment,
        "end_date": moment,
        "note": "b" * 40,
    }
    show_rows([row], list(row), "table")
    shown = terminal.getvalue()
    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines())) <= 100
    for whole in (row["task_id"], row["state"]):
        assert whole in shown
    first, second = (line for line in shown.splitlines() if "2026-01-31" in line or "06:00:00Z" in line)
    assert (first.count("2026-01-31 "), second.count("06:00:00Z ")) == (2, 2)


def test_in_a_pipe_moments_are_exact(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([{"at": datetime(2026, 1, 31, 6, 0, 0, 123456, tzinfo=UTC)}], ["at"], "table")
    assert "2026-01-31T06:00:00.123456+00:00" in capsys.readouterr().out


STATES = sorted({str(state) for states in TRANSITIONS for state in states})


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_colour(state: str) -> None:
    assert Style.parse(STATE_STYLES[state]).color is not None


def test_no_style_is_left_of_a_state_that_is_gone() -> None:
    assert STATE_STYLES.keys() == set(STATES)
