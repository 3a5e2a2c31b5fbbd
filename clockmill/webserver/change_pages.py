"""Clear, mark, stop and run again: a preview first, then exactly what it showed or nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug import Response
from werkzeug.datastructures import MultiDict

from clockmill.actions.change import Preview, Request
from clockmill.actions.clear import Clear
from clockmill.actions.mark import MarkTasks
from clockmill.actions.mark_runs import MarkRuns, StopRuns
from clockmill.actions.rerun import Rerun
from clockmill.actions.selection import RunSelection, TaskSelection
from clockmill.errors import Conflict, UsageError
from clockmill.state import TaskState
from clockmill.storage.records import RunRow
from clockmill.webserver.rendering import page
from clockmill.webserver.run_pages import find_run
from clockmill.webserver.site import current_site

blueprint = Blueprint("changes", __name__, url_prefix="/dags/<dag_id>/runs/<run_id>")

_LINES_SHOWN = 500
_SEE_OTHER = 303
_CHANGED = 409
_INSTANCE = re.compile(r"(.+)\[(\d{1,9})\]")


@dataclass(frozen=True, slots=True)
class Words:
    """How a page speaks of a change.

    :param ask: its heading.
    :param about: what a person should know before.
    :param button: what the button says.
    :param done: what is said afterwards.
    """

    ask: str
    about: str
    button: str
    done: str


_CLEAR = Words(
    "Clear {tasks} and run again?",
    "Values that they left are dropped, their logs stay. Their setups and teardowns run again too.",
    "Clear {tasks}",
    "Cleared {tasks}: they run again as soon as they may.",
)
_RERUN = Words(
    "Run {tasks} again, from where it failed?",
    "What failed, what could not run or was skipped because of that, and their setups and teardowns; successes stay.",
    "Run {tasks} again",
    "Cleared {tasks}: they run again as soon as they may.",
)
_STOP = Words(
    "Stop this run?",
    "What runs is stopped and fails, what has not begun is skipped. Teardowns whose setup ran still clean up.",
    "Stop the run",
    "The run is stopped.",
)


def _mark_words(state: TaskState, *, of_run: bool) -> Words:
    if of_run:
        about = {
            TaskState.SUCCESS: "All of its tasks become success; what runs is stopped.",
            TaskState.FAILED: "What runs is stopped and fails, what has not begun is skipped.",
            TaskState.SKIPPED: "What is not finished is skipped; the run ends as its tasks say.",
        }[state]
        return Words(f"Mark this run {state}?", about, f"Mark the run {state}", f"The run is marked {state}.")
    about = "What runs is stopped, and its result does not count."
    if state is not TaskState.FAILED:
        about += " What failed below is decided again."
    return Words(f"Mark {state}: change {{tasks}}?", about, f"Mark {state}", f"Marked {state}: {{tasks}} changed.")


@blueprint.get("/<any(clear, 'mark-success', 'mark-failed', 'mark-skipped', stop, rerun):verb>")
def show_change(dag_id: str, run_id: str, verb: str) -> str:
    """What a change would touch: ``?task=`` once for each task, ``?downstream=1`` with what is below them."""
    return _page(find_run(dag_id, run_id), verb, request.args, problem="")


@blueprint.post("/<any(clear, 'mark-success', 'mark-failed', 'mark-skipped', stop, rerun):verb>")
def change(dag_id: str, run_id: str, verb: str) -> Response | tuple[str, int]:
    """Make the change that the preview showed; when something else would change by now, show that instead."""
    run = find_run(dag_id, run_id)
    wanted, words = _read(run, verb, request.form)
    try:
        done = current_site().actions.change(wanted, request.form.get("fingerprint", ""))
    except Conflict as error:
        return _page(run, verb, request.form, problem=str(error)), _CHANGED
    flash(words.done.format(tasks=_tasks(done)))
    return redirect(url_for("runs.show_run", dag_id=dag_id, run_id=run_id), _SEE_OTHER)


def _page(run: RunRow, verb: str, fields: MultiDict[str, str], *, problem: str) -> str:
    wanted, words = _read(run, verb, fields)
    preview = current_site().actions.preview(wanted)
    names = fields.getlist("task")
    downstream = _is_downstream(verb, fields)
    return page(
        "change.html",
        run=run,
        verb=verb,
        ask=words.ask.format(tasks=_tasks(preview)),
        about=words.about,
        button=words.button.format(tasks=_tasks(preview)),
        problem=problem,
        names=names,
        downstream=downstream,
        lines=list(islice(preview.lines(), _LINES_SHOWN)),
        more=max(0, sum(1 for _ in preview.lines()) - _LINES_SHOWN),
        fingerprint=preview.fingerprint,
    )


def _tasks(preview: Preview) -> str:
    return "1 task" if preview.task_count == 1 else f"{preview.task_count} tasks"


def _is_downstream(verb: str, fields: Mapping[str, str]) -> bool:
    return fields.get("downstream", "1" if verb == "clear" else "0") == "1"


def _read(run: RunRow, verb: str, fields: MultiDict[str, str]) -> tuple[Request, Words]:
    runs = RunSelection(dag_id=run.dag_id, run_ids=(run.run_id,))
    if verb == "stop":
        return StopRuns(runs=runs), _STOP
    if verb == "rerun":
        return Rerun(runs=runs, from_failure=True), _RERUN
    names = tuple(_instance(text) for text in fields.getlist("task"))
    tasks = TaskSelection(names=names, downstream=_is_downstream(verb, fields))
    if verb == "clear":
        if not names:
            raise UsageError("Choose at least one task of the run, then clear.")
        return Clear(runs=runs, tasks=tasks), _CLEAR
    state = TaskState(verb.removeprefix("mark-"))
    words = _mark_words(state, of_run=not names)
    return (MarkTasks(runs=runs, tasks=tasks, state=state) if names else MarkRuns(runs=runs, state=state)), words


def _instance(text: str) -> tuple[str, int | None]:
    """``extract`` is all of a task, ``extract[3]`` one instance of it."""
    found = _INSTANCE.fullmatch(text)
    return (found.group(1), int(found.group(2))) if found else (text, None)
