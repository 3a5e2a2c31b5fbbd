"""Of several DAG processors on one database, one works; the others stand by.

Two that look at folders of two machines would take turns to undo what the other one did.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from clockmill.clock import Clock
from clockmill.errors import ClockmillError
from clockmill.host.locks import is_held
from clockmill.storage.engine import Connection, Database
from clockmill.storage.leaders import Leader, find_leader, lead, resign, take_lead

log = logging.getLogger(__name__)

#: A leader of whom nothing but its beat is known, or that hangs, is dead after so many seconds.
SILENCE = 20.0


class LeadLost(ClockmillError):
    """Another instance leads: what was begun is not to be written."""


class Leadership:
    """Whether this instance leads, and how it comes to that.

    On one host the death of a leader is a fact of the kernel: it holds the lock of a file in the run folder. Elsewhere
    its beat tells.

    :param name: of the kind of service.
    :param instance: unique among all there ever were.
    :param folder: for the locks of the instances of this home.
    """

    def __init__(self, database: Database, clock: Clock, name: str, instance: str, folder: Path) -> None:
        self._database = database
        self._clock = clock
        self._name = name
        self._instance = instance
        self._folder = folder
        self._lock = -1
        self._seen: tuple[Leader | None, float] = (None, 0.0)
        self._told = ""
        self.is_leading = False

    @property
    def is_standing_by(self) -> bool:
        """Whether this instance takes part, and another one leads."""
        return self._lock >= 0 and not self.is_leading

    def enter(self) -> None:
        """Take part from now on; without that :meth:`hold` lets everything pass."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(self._file(self._instance), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def hold(self, connection: Connection) -> None:
        """Keep the lead until the end of a transaction.

        :raises LeadLost: when another instance has it.
        """
        if self._lock >= 0 and not lead(connection, self._name, self._instance):
            raise LeadLost(f"Another {self._name} leads.")

    def look(self) -> bool:
        """As one that stands by: lead when the leader is gone; whether this instance leads now."""
        found = self._database.read(lambda connection: find_leader(connection, self._name))
        now = self._clock.monotonic()
        if self._seen[0] != found:
            self._seen = (found, now)
        if found is not None and found.instance == self._instance:  # by a commit that nobody could tell about
            self.is_leading = True
        elif found is None or self._is_dead(found, now):
            self.is_leading = self._database.write(lambda c: take_lead(c, self._name, self._instance, found))
        if self.is_leading:
            self._begin(found)
        elif found is not None:
            self._stand_by(found)
        return self.is_leading

    def lose(self) -> None:
        """Stand by: another instance has taken over, or may have."""
        self.is_leading = False
        self.forget()

    def forget(self) -> None:
        """A read failed: whoever was silent meanwhile may not have been able to beat either."""
        self._seen = (None, 0.0)

    def leave(self) -> None:
        """Let another one lead, at once."""
        if self._lock < 0:
            return
        self._file(self._instance).unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1
        if self.is_leading:
            self.is_leading = False
            self._database.write(lambda connection: resign(connection, self._name, self._instance))

    def _is_dead(self, found: Leader, now: float) -> bool:
        return is_held(self._file(found.instance)) is False or now - self._seen[1] >= SILENCE

    def _begin(self, before: Leader | None) -> None:
        self.forget()
        self._told = ""
        if before is not None and before.instance != self._instance:
            log.warning("the %s %s is dead or hangs: %s leads now", self._name, before.instance, self._instance)
            if is_held(self._file(before.instance)) is False:
                self._file(before.instance).unlink(missing_ok=True)

    def _stand_by(self, found: Leader) -> None:
        if self._told != found.instance:
            self._told = found.instance
            log.info("the %s %s leads, this one stands by", self._name, found.instance)

    def _file(self, instance: str) -> Path:
        return self._folder / f"{instance}.lock"
