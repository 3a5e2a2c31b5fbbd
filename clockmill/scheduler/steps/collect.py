"""Take in what the executors have to tell."""

from __future__ import annotations

from dataclasses import dataclass, field

from clockmill.executors.base import Finished, Started, SupervisorDown, SupervisorUp
from clockmill.protocols import AttemptReport
from clockmill.scheduler.workspace import Workspace


@dataclass
class Inbox:
    """News that is not yet written down, by kind; each with the name of its executor."""

    started: list[tuple[str, Started]] = field(default_factory=list)
    reports: dict[str, tuple[str, AttemptReport]] = field(default_factory=dict)
    up: list[tuple[str, SupervisorUp]] = field(default_factory=list)
    down: list[tuple[str, SupervisorDown]] = field(default_factory=list)


class Collect:
    """Sorts the events of all executors into the inbox."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace

    def run_once(self, inbox: Inbox) -> None:
        """Add what happened since the last call; a report that comes twice is kept once."""
        for name, executor in self._space.executors.items():
            for event in executor.events():
                match event:
                    case Started():
                        inbox.started.append((name, event))
                    case Finished(report):
                        inbox.reports[report.attempt_id] = (name, report)
                    case SupervisorUp():
                        inbox.up.append((name, event))
                    case SupervisorDown():
                        inbox.down.append((name, event))
