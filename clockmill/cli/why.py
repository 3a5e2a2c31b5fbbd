"""``why``: what a task waits for, in one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clockmill.cli.app import App
from clockmill.cli.base import Command, pass_app
from clockmill.cli.output import show_record
from clockmill.cli.params import map_index_option
from clockmill.clock import iso

if TYPE_CHECKING:
    from clockmill.actions.explain import Explanation


@click.command(cls=Command)
@click.argument("dag_id")
@click.argument("run_id")
@click.argument("task_id")
@map_index_option
@click.option(
    "--output", "-o", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True, help="The form."
)
@pass_app
def why(app: App, dag_id: str, run_id: str, task_id: str, map_index: int, output: str) -> None:
    """Tell why a task has not run.

    That is what it waits for, which limit is full and who holds it, or when it is due.
    """
    from dataclasses import asdict

    from clockmill.actions.explain import explain

    settings, now = app.settings, app.clock.now()
    answer = app.read(
        lambda c: explain(
            c,
            dag_id,
            run_id,
            task_id,
            map_index,
            default_executor=settings.default_executor,
            executors=settings.executor_names,
            now=now,
            workers=settings.workers,
        )
    )
    if output == "text":
        click.echo(_screen(answer))
    else:
        show_record(asdict(answer), output)


def _screen(answer: Explanation) -> str:
    lines = [f"{answer.dag_id} {answer.run_id} {answer.task_id}: {answer.state}", answer.verdict]
    lines += [f"  {detail}" for detail in answer.details]
    if answer.holders:
        lines += ["held by:"]
        lines += [f"  {each.what}" + (f" since {iso(each.since)}" if each.since else "") for each in answer.holders]
    if answer.changes_at is not None:
        lines.append(f"it can change by itself at {iso(answer.changes_at)}")
    return "\n".join(lines)
