"""How times, durations and charts look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest

from clockmill.state import TRANSITIONS
from clockmill.webserver import display

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@dataclass
class Item:
    start_date: datetime | None
    end_date: datetime | None = None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-0.4, "now"),
        (-12, "12 s ago"),
        (-61, "1 min ago"),
        (-7199, "1 h ago"),
        (-47 * 3600, "47 h ago"),
        (-49 * 3600, "2 days ago"),
        (30, "in 30 s"),
        (3 * 3600, "in 3 h"),
    ],
)
def test_relative_times(seconds: float, text: str) -> None:
    assert display.relative(NOW + timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.98, "980 ms"),
        (4.25, "4.2 s"),
        (59, "59 s"),
        (125, "2 min 05 s"),
        (3720, "1 h 02 min"),
        (90_000, "1 d 01 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert display.span(seconds) == text


def test_something_that_runs_has_taken_until_now() -> None:
    assert display.duration(NOW - timedelta(seconds=90), None, NOW) == "1 min 30 s"
    assert display.duration(None, None, NOW) == ""
    assert display.duration(NOW + timedelta(seconds=5), None, NOW) == "0 ms"


def test_absolute_times_are_in_utc_with_microseconds_where_there_are_any() -> None:
    assert display.absolute(NOW) == "2026-01-31 12:00:00 UTC"
    assert display.absolute(NOW + timedelta(microseconds=5)) == "2026-01-31 12:00:00.000005 UTC"


def test_bars_stay_inside_the_chart_and_can_be_seen() -> None:
    start, end = NOW, NOW + timedelta(seconds=100)

    whole = display.bar_in(Item(start, end), start, end)
    late = display.bar_in(Item(end, end), start, end)
    early = display.bar_in(Item(start - timedelta(hours=1), end + timedelta(hours=1)), start, end)

    assert whole == display.Bar(0.0, 100.0)
    assert late is not None
    assert early == display.Bar(0.0, 100.0)
    assert late.width > 0
    assert late.x + late.width <= 100
    assert display.bar_in(Item(None), start, end) is None


def test_the_longest_run_has_the_tallest_bar_and_none_vanishes() -> None:
    assert display.heights([0.0, 5.0, 10.0], tallest=44, lowest=4) == [4, 24, 44]
    assert display.heights([0.0], tallest=44, lowest=4) == [4]
    assert display.heights([], tallest=44, lowest=4) == []


STATES = sorted({str(state) for states in TRANSITIONS for state in states})


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_a_glyph_and_a_colour_in_each_theme(state: str) -> None:
    folder = files("clockmill.webserver")
    assert f'<symbol id="g-{state}"' in (folder / "templates" / "_glyphs.html").read_text()
    style = (folder / "static" / "tokens.css").read_text()
    (colour,) = re.findall(rf"^\.s-{state} {{ --c: var\((--\w+)\); }}$", style, re.MULTILINE)
    themes = style.count("--page: ")
    assert themes == style.count(f" {colour}: #") == 3
