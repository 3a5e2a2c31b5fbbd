"""What the docs show of an example package stands in it, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path.read_text() for path in sorted((ROOT / "examples").rglob("*.py"))]
SHOWN = [
    block
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for block in re.findall(r"^```py\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize("block", SHOWN)
def test_what_is_shown_of_an_example_is_a_part_of_it(block: str) -> None:
    assert any(block in source for source in SOURCES), block


def test_parts_of_examples_are_shown() -> None:
    assert SHOWN
