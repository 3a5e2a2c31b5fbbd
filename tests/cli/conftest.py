"""A home of its own for each test, and a way to call the program."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

from clockmill import config
from clockmill.cli.main import cli
from clockmill.storage.crypto import KEY_FILE, create_key_file

_SECONDS = 60


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


class Running:
    """One ``clockmill standalone``."""

    def __init__(self, home: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "clockmill", "standalone", "--home", str(home), "--no-examples", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ready(self) -> str:
        """The address, once it is printed."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ready http://127.0.0.1:"), self.end()
        return line.split()[1]

    def end(self, *signals: int) -> tuple[int, str]:
        """Send signals and wait; exit status and stderr."""
        for number in signals:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=_SECONDS)
        return self.process.returncode, errors

    def tree(self) -> list[psutil.Process]:
        """Every process that it started and that is alive."""
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    begun: list[Running] = []

    def begin(*arguments: str, home: Path = tmp_path / "home") -> Running:
        begun.append(Running(home, *(arguments or ("--port", "0"))))
        return begun[-1]

    yield begin
    for each in begun:
        if each.process.poll() is None:
            each.end(signal.SIGTERM, signal.SIGINT)
