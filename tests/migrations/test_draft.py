from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Column, Table

from clockmill.migrations import runner
from clockmill.migrations.draft import draft
from clockmill.storage.tables import Instant, metadata


@pytest.fixture
def changed_tables() -> object:
    """The tables with one more, for the time of a test."""
    table = Table("novelty", metadata, Column("at", Instant, primary_key=True))
    yield table
    metadata.remove(table)


def test_tables_that_equal_the_steps_need_no_step(tmp_path: Path) -> None:
    assert draft("nothing", tmp_path).read_text().count("    pass\n") == 2


def test_a_draft_holds_what_changed_in_frozen_types(tmp_path: Path, changed_tables: object) -> None:
    path = draft("Add a novelty", tmp_path)
    text = path.read_text()
    assert path.name == f"v{int(runner.head()) + 1:04d}_add_a_novelty.py"
    assert "op.create_table('novelty'" in text
    assert "sa.Column('at', sa.BigInteger(), nullable=False)" in text
    assert "op.drop_table('novelty')" in text
    compile(text, path.name, "exec")
