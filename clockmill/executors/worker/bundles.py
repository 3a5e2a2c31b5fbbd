"""The code of the attempts: bundles that are on this machine, and attempts that wait for one that is fetched."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from clockmill.errors import GatewayUnavailable, UsageError
from clockmill.executors.worker.background import BackgroundCalls
from clockmill.executors.worker.health import Health
from clockmill.executors.worker.setup import WorkerSetup
from clockmill.protocols import Workload
from clockmill.state import Outcome

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
#: After so long it is asked again where a bundle is, which says that it is still of use.
_KNOWN_SECONDS = 600.0


class BundleFetcher:
    """Gives each attempt the folder of its bundle.

    :param calls: the thread that fetches.
    """

    def __init__(self, setup: WorkerSetup, calls: BackgroundCalls) -> None:
        self._setup = setup
        self._clock = setup.clock
        self._calls = calls
        self._folders: dict[str, tuple[Path, float]] = {}  # with the moment until which each may be taken for granted
        self._waiting: dict[str, list[Workload]] = {}
        self._fetching: set[str] = set()
        self._ready: list[tuple[Workload, Path]] = []
        self._failed: list[tuple[Workload, Exception]] = []
        self._health = Health(setup.clock)
        self._retry_at: dict[str, float] = {}

    @property
    def is_stuck(self) -> bool:
        """Whether this machine cannot keep what attempts need, so that none is to be claimed now."""
        return self._health.is_poor

    @property
    def due(self) -> float:
        """When a bundle is to be asked for again, in monotonic seconds."""
        return min(self._retry_at.values(), default=math.inf)

    def fetch(self, workloads: Iterable[Workload]) -> None:
        """Find the code of these attempts."""
        now = self._clock.monotonic()
        for workload in workloads:
            folder, until = self._folders.get(workload.bundle, (None, -math.inf))
            if folder is not None and now < until and folder.is_dir():
                self._ready.append((workload, folder))
            else:
                self._waiting.setdefault(workload.bundle, []).append(workload)
        self._ask()

    def deliver(self) -> None:
        """Take in what was fetched, and ask again for what nobody could be asked for."""
        self._calls.deliver()
        now = self._clock.monotonic()
        for bundle in [bundle for bundle, at in self._retry_at.items() if at <= now]:
            del self._retry_at[bundle]
        self._ask()

    def take(self) -> list[Workload]:
        """The attempts whose code is here, with the paths of this machine."""
        ready, self._ready = self._ready, []
        return [here for workload, folder in ready if (here := self._settle(workload, folder)) is not None]

    def take_failed(self) -> list[tuple[str, Outcome, str]]:
        """The attempts that cannot begin here, with what they end as and the reason.

        One whose code is nowhere to be had has failed; what this machine cannot keep another one may.
        """
        failed, self._failed = self._failed, []
        return [(workload.attempt_id, *self._verdict(error)) for workload, error in failed]

    def forget(self, attempt_ids: Collection[str]) -> list[str]:
        """Drop attempts; returns those of them that were here."""
        known = [ident for ident in self._here() if ident in attempt_ids]
        for bundle, workloads in list(self._waiting.items()):
            self._waiting[bundle] = [each for each in workloads if each.attempt_id not in attempt_ids]
        self._ready = [each for each in self._ready if each[0].attempt_id not in attempt_ids]
        self._failed = [each for each in self._failed if each[0].attempt_id not in attempt_ids]
        return known

    def forget_all(self) -> list[str]:
        """Drop all attempts; returns them."""
        return self.forget(frozenset(self._here()))

    def close(self) -> None:
        """Fetch nothing more."""
        self._calls.close()

    def _here(self) -> list[str]:
        """The attempts that nobody has taken yet."""
        waiting = [workload.attempt_id for workloads in self._waiting.values() for workload in workloads]
        return waiting + [workload.attempt_id for workload, _ in (*self._ready, *self._failed)]

    def _ask(self) -> None:
        for bundle in [each for each, workloads in self._waiting.items() if not workloads]:
            del self._waiting[bundle]
        for bundle in self._waiting.keys() - self._fetching - self._retry_at.keys():
            self._fetching.add(bundle)
            self._fetch(bundle)

    def _fetch(self, bundle: str) -> None:
        self._calls.run(
            lambda: self._setup.fetch_bundle(bundle), lambda folder, error: self._fetched(bundle, folder, error)
        )

    def _fetched(self, bundle: str, folder: Path, error: Exception | None) -> None:
        self._fetching.discard(bundle)
        if isinstance(error, GatewayUnavailable):
            log.warning("bundle %s cannot be fetched now, trying again: %s", bundle[:12], error)
            self._retry_at[bundle] = self._clock.monotonic() + _RETRY_SECONDS
            return
        waiting = self._waiting.pop(bundle, [])
        if error is None:
            self._folders[bundle] = folder, self._clock.monotonic() + _KNOWN_SECONDS
            self._ready += [(workload, folder) for workload in waiting]
            return
        if not isinstance(error, OSError):
            log.error("bundle %s cannot be fetched", bundle[:12], exc_info=error)
        self._failed += [(workload, error) for workload in waiting]

    def _settle(self, workload: Workload, folder: Path) -> Workload | None:
        try:
            log_path = self._setup.logs.begin(workload)
        except OSError as error:
            self._failed.append((workload, error))
            return None
        return replace(workload, bundle_path=str(folder), log_path=str(log_path))

    def _verdict(self, error: Exception) -> tuple[Outcome, str]:
        if isinstance(error, OSError):
            return Outcome.RELEASED, self._health.blame(error)
        told = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        return Outcome.FAILED, f"Its code cannot be fetched: {told}"
