"""A home of its own for each test, and a way to call the program."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clockmill import config
from clockmill.cli.main import cli
from clockmill.storage.crypto import KEY_FILE, create_key_file


class Program:
    """Calls ``clockmill`` in this process, on one home."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        environment = {"CLOCKMILL_HOME": str(self.home)}
        return CliRunner().invoke(cli, list(arguments), env=environment, input=stdin, prog_name="clockmill")

    def ok(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of a command that has to succeed."""
        result = self(*arguments, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        """The output of a command as data."""
        return json.loads(self.ok(*arguments, "--output", "json"))

    def refused(self, *arguments: str, status: int = 1, stdin: str | None = None) -> str:
        """The one line on stderr of a command that has to fail."""
        result = self(*arguments, stdin=stdin)
        assert result.exit_code == status, result.output
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("clockmill")]
        return line


@pytest.fixture
def program(tmp_path: Path, sqlite_template: Path) -> Program:
    """The program on a home with an empty database."""
    home = tmp_path / "home"
    settings = config.load(home, environ={})
    config.create_home(settings)
    create_key_file(settings.keys_folder / KEY_FILE)
    shutil.copyfile(sqlite_template, home / "clockmill.db")
    return Program(home)
