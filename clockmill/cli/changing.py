"""What the commands that change runs have in common: which runs, a preview, a question, then exactly that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clockmill.cli import lookup
from clockmill.cli.app import App
from clockmill.cli.base import confirm, same_options
from clockmill.cli.output import counted, output_option, show_rows, warn
from clockmill.cli.params import to_last_moment, to_moment, yes_option
from clockmill.model.zones import in_utc
from clockmill.state import ACTIVE_RUN_STATES

if TYPE_CHECKING:
    from clockmill.actions.change import Preview, Request
    from clockmill.actions.selection import RunSelection

F = TypeVar("F", bound=Callable[..., Any])

_COLUMNS = ["run_id", "task_id", "map_index", "state", "becomes"]


range_options = same_options(
    click.option("--from", "since", callback=to_moment, metavar="TIME", help="Runs from this logical date on."),
    click.option(
        "--to", "until", callback=to_last_moment, metavar="TIME", help="Runs up to this logical date, itself included."
    ),
)
run_option = click.option("--run", "run_ids", multiple=True, metavar="RUN_ID", help="This run; may be given again.")
change_options = same_options(
    click.option("--dry-run", is_flag=True, help="Only show what would change."), yes_option, output_option
)


@dataclass(frozen=True, slots=True)
class Wording:
    """How a command speaks of what it does.

    :param ask: ``Clear {what}?``, where ``{what}`` stands for ``3 task instances in 2 runs``.
    :param told: ``Cleared {what}.``
    :param nothing: what is said when there is nothing to do.
    :param of_runs: it is done to runs, not to some of their tasks.
    """

    ask: str
    told: str
    nothing: str
    of_runs: bool = False

    def about(self, preview: Preview) -> str:
        """What it is done to."""
        runs = counted(len(preview.plans), "run")
        return runs if self.of_runs else f"{counted(preview.task_count, 'task instance')} in {runs}"


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person said about going on.

    :param dry_run: show it only.
    :param yes: do not ask.
    :param output: the form of what is shown.
    """

    dry_run: bool
    yes: bool
    output: str


def selected_runs(
    app: App,
    dag_id: str,
    run_ids: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    *,
    is_needed: bool = True,
) -> RunSelection:
    """The runs that a person names; times without an offset are in the zone of the DAG.

    :param is_needed: refuse to take all runs because none is named.
    :raises click.UsageError: when runs are named in both ways, or in none although that is needed.
    """
    from clockmill.actions.selection import RunSelection

    has_range = since is not None or until is not None
    if run_ids and has_range:
        raise click.UsageError("Name runs, or give a range with --from and --to, not both.")
    if is_needed and not run_ids and not has_range:
        raise click.UsageError("Say which runs: name them, or give a range with --from and --to.")
    if has_range:
        zone = app.read(lambda connection: lookup.newest_document(connection, dag_id)).timezone
        since, until = (moment and in_utc(moment, zone) for moment in (since, until))
    return RunSelection(dag_id=dag_id, run_ids=tuple(run_ids), since=since, until=until)


def change(app: App, request: Request, wording: Wording, consent: Consent) -> None:
    """Show what a request would change, ask, and do it."""
    from clockmill.actions.change import apply, preview

    shown = app.read(lambda connection: preview(connection, request))
    if shown.is_empty:
        click.echo(wording.nothing, err=consent.output != "table")
        return
    lines = [{column: getattr(line, column) for column in _COLUMNS} for line in shown.lines()]
    show_rows(folded(lines) if consent.output == "table" else lines, _COLUMNS, consent.output)
    if consent.dry_run:
        return
    confirm(wording.ask.format(what=wording.about(shown)), consent.yes)
    done = apply(app.database, app.clock, request, fingerprint=shown.fingerprint, actor=app.actor)
    app.wake()
    click.echo(wording.told.format(what=wording.about(done)), err=consent.output != "table")
    _warn_of_pause(app, done)


def folded(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines for people: instances of a mapped task to which the same happens are one line, as ``0-4, 6, 8-999``."""
    shown: dict[tuple[Any, ...], list[int]] = {}
    for line in lines:
        index = line["map_index"]
        is_instance = index is not None and index >= 0
        key = (line["run_id"], line["task_id"], None if is_instance else index, line["state"], line["becomes"])
        shown.setdefault(key, []).extend([index] if is_instance else [])
    return [
        dict(zip(_COLUMNS, (*key[:2], _ranges(found) if found else key[2], *key[3:]), strict=True))
        for key, found in shown.items()
    ]


def _ranges(indexes: Sequence[int]) -> str:
    spans: list[list[int]] = []
    for index in sorted(indexes):
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in spans)


def _warn_of_pause(app: App, done: Preview) -> None:
    dag_id = done.request.runs.dag_id
    waiting = any(plan.to in ACTIVE_RUN_STATES for plan in done.plans)
    if waiting and app.read(lambda connection: lookup.the_dag(connection, dag_id)).is_paused:
        warn(f"The DAG {dag_id!r} is paused: its runs wait until 'clockmill dags unpause {dag_id}'.")
