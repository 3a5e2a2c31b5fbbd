"""The executor does what every brokered executor has to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from clockmill_executor_board import BoardExecutor, take_down

from clockmill.errors import ConfigError
from clockmill.executors.setup import ExecutorSetup
from clockmill.testing.brokered import BrokeredConformance, Stage


class TestBoardExecutor(BrokeredConformance):
    executor_class = BoardExecutor

    @pytest.fixture(autouse=True)
    def board(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "board"
        self.options = {"folder": str(self.folder)}

    def heard(self, setup: ExecutorSetup, queue: str) -> Iterable[tuple[str, str]]:
        return take_down(self.folder / setup.name, queue)

    @contextmanager
    def away(self) -> Iterator[None]:
        aside = self.folder.with_suffix(".away")
        if self.folder.exists():
            self.folder.rename(aside)
        self.folder.write_text("no folder")
        yield
        self.folder.unlink()
        if aside.exists():
            aside.rename(self.folder)

    def test_a_folder_that_depends_on_where_it_was_started_is_refused(self, stage: Stage) -> None:
        with pytest.raises(ConfigError, match="must be an absolute path"):
            BoardExecutor(replace(stage.setup, options={"folder": "board"}))
