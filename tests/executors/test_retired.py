"""Executors that the configuration names no more: made once more where they were chosen before, and nowhere else."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

from clockmill.clock import SystemClock
from clockmill.errors import ConfigError
from clockmill.executors.retired import remember, revive
from clockmill.testing.executor import ScriptedExecutor


def test_one_that_was_chosen_here_is_made_from_where_its_class_was_last(tmp_path):
    remember(tmp_path, {"local": "local", "night": "my_pkg:Old"})
    remember(tmp_path, {"local": "local", "night": "my_pkg:New"})
    (tmp_path / "night" / f".class.{os.getpid()}").mkdir()  # where nothing can be written, what is known is no trouble
    remember(tmp_path, {"local": "local", "night": "my_pkg:New"})
    asked = []

    def make(name, target):
        asked.append((name, target))
        return ScriptedExecutor(SystemClock())

    assert list(revive(tmp_path, {"night", "of-another-host"}, make)) == ["night"]
    assert asked == [("night", "my_pkg:New")]


def test_schedulers_of_one_home_may_begin_at_the_same_moment(tmp_path):
    program = """
import sys
from pathlib import Path
from clockmill.executors.retired import remember
for number in range(500):
    remember(Path(sys.argv[1]), {"local": f"{sys.argv[2]}{number}"})
"""
    both = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in ("one", "two")]
    assert [each.wait() for each in both] == [0, 0]
    assert (tmp_path / "local" / "class").read_text() in {"one499", "two499"}


def test_one_that_cannot_be_made_any_more_is_left_out_with_a_warning(tmp_path, caplog):
    remember(tmp_path, {"night": "my_pkg:MyExecutor"})

    def make(name, target):
        raise ConfigError("There is no module my_pkg.")

    with caplog.at_level(logging.WARNING):
        assert revive(tmp_path, {"night"}, make) == {}
    assert "attempts of the executor 'night' wait until [core] executor names it again" in caplog.text
