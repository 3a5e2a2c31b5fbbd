"""Scheduler, DAG parsing, local executor, triggerer and web server in one process tree."""

from __future__ import annotations

import http.client
import logging
import sys
import threading
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clockmill import config
from clockmill.cli import servicelog, wiring
from clockmill.cli.companion import Companion
from clockmill.cli.crew import Crew
from clockmill.cli.homelock import hold_home
from clockmill.clock import Clock
from clockmill.config import Settings

if TYPE_CHECKING:
    from clockmill.scheduler.service import SchedulerService
    from clockmill.webserver.server import WebServer

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.02
_SLOW_SECONDS = 30.0


@dataclass
class Standalone:
    """One run of everything over one home.

    :param grace: seconds that running tasks get to finish after the first request to stop.
    """

    settings: Settings
    clock: Clock
    grace: float
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Work until somebody asks to stop.

        :raises UsageError: when the home or the port is taken, or something cannot be made.
        """
        config.create_home(self.settings)
        with hold_home(self.settings.lock_file), Crew() as crew:
            servicelog.set_up(self.settings)
            sock = wiring.listen(self.settings)
            triggerer = Companion(self.settings.home, self.clock, "triggerer")
            crew.start("triggerer", triggerer.run)
            # Flask takes as long to load as the database takes to be made ready, so they do it side by side.
            loading = threading.Thread(target=wiring.load_webserver, daemon=True)
            loading.start()
            self._prepare_database()
            with closing(wiring.open_database(self.settings)) as database:
                scheduler = wiring.make_scheduler(self.settings, database, self.clock, grace=self.grace)
                processor = wiring.make_dag_processor(self.settings, database, self.clock)
                triggerer.release()
                self._tell_places()
                crew.start("dag-processor", lambda: processor.run(self._stop))
                crew.start("scheduler", lambda: scheduler.run(self._stop))
                loading.join()
                server = wiring.make_web_server(self.settings, database, self.clock, sock, services=("triggerer",))
                crew.start("webserver", server.serve)
                self._attend(crew, scheduler, server, triggerer, wiring.address_of(sock))
        crew.raise_failure()

    def _attend(
        self, crew: Crew, scheduler: SchedulerService, server: WebServer, triggerer: Companion, address: str
    ) -> None:
        if self._becomes_healthy(crew, address):
            self._say(f"ready {address}", out=True)
            crew.wait()
        self._say("stopping: no new work; tasks that run may finish, another signal stops them at once")
        self._stop.set()
        triggerer.stop()
        scheduler.interrupt(hurry=crew.signals > 1)
        while crew.is_working("scheduler", "dag-processor"):
            crew.wait()
            if crew.signals > 1:
                scheduler.interrupt(hurry=True)
        server.stop()
        while crew.is_working():
            crew.wait(1.0)
        log.info("everything has stopped")

    def _becomes_healthy(self, crew: Crew, address: str) -> bool:
        """Look until /health says 200; False when a signal or the end of a service came first."""
        slow_at = self.clock.monotonic() + _SLOW_SECONDS
        while not _is_healthy(address):
            if crew.wait(_LOOK_SECONDS):
                return False
            if self.clock.monotonic() > slow_at:
                self._say(f"still waiting for the first loop of every service: see {address}/health")
                slow_at = float("inf")
        return True

    def _prepare_database(self) -> None:
        """Migrate an SQLite file; a server is shared with others, so only ``db migrate`` does that there."""
        if not wiring.has_own_database(self.settings):
            wiring.make_keys(self.settings)
        elif copy := wiring.migrate(self.settings).backup:
            self._say(f"the database was copied to {copy} before its schema was changed")

    def _tell_places(self) -> None:
        self._say(f"home        {self.settings.home}")
        self._say(f"DAG folder  {self.settings.dags_folder}")
        self._say(f"logs        {self.settings.logs_folder}")

    @staticmethod
    def _say(line: str, *, out: bool = False) -> None:
        print(line, file=sys.stdout if out else sys.stderr, flush=True)


def _is_healthy(address: str) -> bool:
    where = urlsplit(address)
    with closing(http.client.HTTPConnection(str(where.hostname), where.port, timeout=5)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
