"""What a command works with: settings and the database, made when first used."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clockmill.clock import Clock, SystemClock

if TYPE_CHECKING:
    from clockmill.config import Settings
    from clockmill.storage.crypto import Cipher
    from clockmill.storage.engine import Database

T = TypeVar("T")
K = TypeVar("K")


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

    def await_database(self) -> None:
        """For services: wait until there is a :attr:`database`, and say meanwhile what is missing.

        :raises DatabaseError: when waiting does not help.
        """
        from clockmill.cli.readiness import await_database

        self.__dict__["database"] = await_database(self.settings, self.clock)

    def read(self, work: Callable[[Any], T]) -> T:
        """Read the database in one transaction."""
        return self.database.read(work)

    def write(self, work: Callable[[Any], T]) -> T:
        """Change the database in one transaction."""
        return self.database.write(work)

    @cached_property
    def cipher(self) -> Cipher:
        """What secrets are encrypted with."""
        from clockmill.storage.crypto import KEY_FILE, Cipher

        return Cipher(self.settings.keys_folder / KEY_FILE)

    def pages(self, page: Callable[[Any, K | None], Sequence[T]], key: Callable[[T], K]) -> Iterator[T]:
        """Every row of a list that is read a page at a time.

        :param page: reads the rows after a key; None for the first page.
        :param key: of a row.
        """
        after: K | None = None
        while rows := self.read(partial(_page, page, after)):
            yield from rows
            after = key(rows[-1])

    def wake(self) -> None:
        """Tell the schedulers, after a commit, that there is something to do."""
        from clockmill.storage.wakeup import wake

        wake(self.database, self.settings.run_folder)

    def close(self) -> None:
        """Let go of the database, if it was used."""
        if "database" in self.__dict__:
            self.database.close()

    @property
    def actor(self) -> str:
        """Who acts, as events tell it: ``cli:NAME``."""
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError):
            return f"cli:{os.getuid()}"


def _page(page: Callable[[Any, K | None], Sequence[T]], after: K | None, connection: Any) -> Sequence[T]:
    return page(connection, after)
