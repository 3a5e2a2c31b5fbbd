"""Waiting for a run, with its progress drawn on a terminal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clockmill.cli.output import STATE_STYLES, console
from clockmill.state import FINISHED_RUN_STATES, FINISHED_TASK_STATES, TaskState
from clockmill.storage import run_pages

if TYPE_CHECKING:
    from rich.console import RenderableType

    from clockmill.cli.app import App
    from clockmill.storage.records import RunRow

_LOOK_SECONDS = 0.3
_BAR_WIDTH = 40

Draw = Callable[[str, dict[str, int]], None]


def follow_run(app: App, run: RunRow) -> RunRow:
    """Wait until a run is finished.

    :returns: the run as it ended.
    :raises NotFound: when it is deleted meanwhile.
    """
    from clockmill.cli.lookup import the_run

    with drawing() as draw:
        while True:
            now = app.read(lambda connection: the_run(connection, run.dag_id, run.run_id))
            draw(f"{run.dag_id} {run.run_id} {now.state}", app.read(lambda c: run_pages.count_states(c, run.id)))
            if now.state in FINISHED_RUN_STATES:
                return now
            app.clock.sleep(_LOOK_SECONDS)


@contextmanager
def drawing() -> Iterator[Draw]:
    """Draws a title and how many things are in each state, in place, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda title, counts: None
        return
    from rich.live import Live

    with Live(console=console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda title, counts: live.update(_picture(title, counts), refresh=True)


def _picture(title: str, counts: dict[str, int]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    total = sum(counts.values())
    finished = sum(number for state, number in counts.items() if TaskState(state) in FINISHED_TASK_STATES)
    bar = Text()
    for state, number in sorted(Counter(counts).items()):
        bar.append("█" * round(_BAR_WIDTH * number / max(total, 1)), style=STATE_STYLES.get(state, "bright_black"))
    words = Text(f"  {finished}/{total}  " + "  ".join(f"{state} {number}" for state, number in sorted(counts.items())))
    return Group(Text(title, style="bold"), bar + words)
