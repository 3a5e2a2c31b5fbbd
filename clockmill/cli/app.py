"""What a command works with: settings and the database, made when first used."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clockmill.clock import Clock, SystemClock

if TYPE_CHECKING:
    from clockmill.config import Settings
    from clockmill.storage.engine import Database

T = TypeVar("T")


@dataclass
class App:
    """One run of the program.

    :param home: what ``--home`` says, or None.
    :param overrides: settings given by other options of the command line.
    """

    home: Path | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)

    @cached_property
    def settings(self) -> Settings:
        """The settings, read and checked on first use.

        :raises ConfigError: naming every problem.
        """
        from clockmill import config

        return config.load(self.home, self.overrides)

    @cached_property
    def database(self) -> Database:
        """The metadata database, of which the schema is known to fit.

        :raises DatabaseError: when it is missing, out of reach, or its schema is another one.
        """
        from clockmill.cli import wiring

        return wiring.open_database(self.settings)

    def read(self, work: Callable[[Any], T]) -> T:
        """Read the database in one transaction."""
        return self.database.read(work)

    def write(self, work: Callable[[Any], T]) -> T:
        """Change the database in one transaction."""
        return self.database.write(work)

    @property
    def actor(self) -> str:
        """Who acts, as events tell it: ``cli:NAME``."""
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError):
            return f"cli:{os.getuid()}"
