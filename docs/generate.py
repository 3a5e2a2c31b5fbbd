"""Write the pages of ``docs/reference`` that come from tables in the code.

``python -m docs.generate`` writes them; with ``--check`` it names those that no longer say what the code says, and
exits with 1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from itertools import groupby
from pathlib import Path

import click

from clockmill.cli.main import cli
from clockmill.config import OPTIONS, Option
from clockmill.state import (
    FINISHED_TASK_STATES,
    TRANSITIONS,
    AttemptState,
    RunState,
    TaskState,
    TriggerRule,
    rules,
    states,
)
from docs.protocol import executors_page

REFERENCE = Path(__file__).parent / "reference"
_NOTE = "<!-- Made from the code by python -m docs.generate: edit the code, not this page. -->"
_NO_BRACES = str.maketrans("", "", "{}")
_MEMBER = re.compile(r'^    [A-Z_]+ = "(\w+)"  #: (.+)$', re.MULTILINE)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


# --- states ----------------------------------------------------------------------------------------------------------


def _meanings(enum: type[StrEnum]) -> dict[str, str]:
    """What the source says of each member, after ``#:``."""
    source = Path(states.__file__).read_text()
    body = source.split(f"class {enum.__name__}(StrEnum):")[1].split("\nclass ")[0]
    return {name: said.replace("``", "`") for name, said in _MEMBER.findall(body)}


def _moves(enum: type[StrEnum]) -> Iterator[tuple[StrEnum, StrEnum]]:
    return ((old, new) for old in enum for new in enum if new in TRANSITIONS[enum][old])


def _by_a_person(old: StrEnum, new: StrEnum) -> bool:
    """Moves of a task instance that only a clear, a mark or a change of version makes."""
    return old in FINISHED_TASK_STATES or new in {TaskState.NONE, TaskState.REMOVED, TaskState.RESTARTING}


def _diagram(moves: Iterable[tuple[StrEnum, StrEnum]]) -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    for old, new in moves:
        yield f"    {old} --> {new}"
    yield "```"


def _state_section(title: str, text: str, enum: type[StrEnum]) -> Iterator[str]:
    moves = list(_moves(enum))
    yield from ("", f"## {title}", "", text, "")
    yield from _table(("state", "meaning"), ((f"`{name}`", said) for name, said in _meanings(enum).items()))
    yield ""
    if enum is not TaskState:
        yield from _diagram(moves)
        return
    yield from _diagram(move for move in moves if not _by_a_person(*move))
    yield from ("", "A person who clears or marks, or a new version of the DAG, also makes these moves:", "")
    people = [move for move in moves if _by_a_person(*move)]
    rows = ((f"`{old}`", ", ".join(f"`{b}`" for a, b in people if a is old)) for old in enum)
    yield from _table(("from", "to"), (row for row in rows if row[1]))


def states_page() -> str:
    """The state machines, drawn from the table that the code obeys."""
    lines = [
        "# States",
        "",
        _NOTE,
        "",
        "Every change of state is one of the moves below. One module writes states, by compare-and-set, and refuses",
        "any other move; the database refuses unknown states as well.",
    ]
    lines += _state_section("Runs", "A DAG run is one execution of a DAG.", RunState)
    lines += _state_section("Task instances", "A task instance is one task in one run.", TaskState)
    lines += _state_section(
        "Attempts",
        "An attempt is one execution of a task instance. A try has one attempt, more when one is lost.",
        AttemptState,
    )
    return "\n".join(lines) + "\n"


def trigger_rules_page() -> str:
    """The trigger rules, from the table that decides."""
    lines = [
        "# Trigger rules",
        "",
        _NOTE,
        "",
        "A trigger rule says when a task may run, seen from its direct upstream tasks. The first line that holds",
        "decides; while none holds, the task waits. A task without upstream tasks runs at once.",
    ]
    for rule in TriggerRule:
        lines += ["", f"## `{rule}`", ""]
        rows = ((clause.reason.translate(_NO_BRACES), f"`{clause.decision}`") for clause in rules.RULES[rule])
        lines += _table(("when", "then"), rows)
    return "\n".join(lines) + "\n"


# --- configuration ---------------------------------------------------------------------------------------------------


def _option_row(option: Option) -> tuple[str, ...]:
    default = option.traits.default_text or (f"`{option.default}`" if option.default != "" else "empty")
    unit = f", {option.traits.unit}" if option.traits.unit else ""
    return f"`{option.name}`", f"{option.kind.__name__}{unit}", default, option.traits.meaning


def configuration_page() -> str:
    """Every option, from the one table of options."""
    lines = [
        "# Configuration",
        "",
        _NOTE,
        "",
        "An option is set on the command line, in the environment as `CLOCKMILL__SECTION__NAME`, or in",
        "`clockmill.toml` in the home folder; the first of these that names it wins. All of them are checked when a",
        "program starts: an unknown name or a bad value ends it with the nearest name that exists.",
        "",
        "What holds a password may stand in a file of its own, whose path is in the environment:",
        f"{', '.join(f'`{option.variable}_FILE`' for option in OPTIONS if option.traits.has_secret)}.",
        "For a section `[executor.NAME]` it is `CLOCKMILL__EXECUTOR__NAME__BROKER_URL_FILE`.",
    ]
    for section, options in groupby(OPTIONS, key=lambda each: each.section):
        lines += ["", f"## `[{section}]`", ""]
        lines += _table(("option", "type", "default", "meaning"), (_option_row(each) for each in options))
    lines += [
        "",
        "## `[executor.NAME]`",
        "",
        "What one of the executors of `[core] executor` is told. `slots` is how many tasks it runs at once, `[core]",
        "parallelism` when it is not set, `resources` [what it offers besides](../howto/resources.md), and",
        "`max_tasks_per_process` goes before that of `[core]`; the other options are its own. In the environment they",
        "are `CLOCKMILL__EXECUTOR__NAME__OPTION`, with `_` for each `-` of the name.",
    ]
    return "\n".join(lines) + "\n"


# --- commands --------------------------------------------------------------------------------------------------------


def _leaves(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Every command that is no group, with the words that call it."""
    if not isinstance(command, click.Group):
        yield context.command_path, command, context
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None and not below.hidden:
            yield from _leaves(below, click.Context(below, parent=context, info_name=name))


def _argument(parameter: click.Argument) -> str:
    name = (parameter.name or "").upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _command_section(path: str, command: click.Command, context: click.Context) -> Iterator[str]:
    parameters = command.get_params(context)
    arguments = [_argument(each) for each in parameters if isinstance(each, click.Argument)]
    yield from ("", f"## `{' '.join([path, *arguments])}`", "", " ".join((command.help or "").split()))
    options = [
        each
        for each in parameters
        if isinstance(each, click.Option)
        and not each.hidden
        and "--home" not in each.opts
        and "--help" not in each.opts
    ]
    if options:
        yield ""
        rows = ((f"`{'`, `'.join([*each.opts, *each.secondary_opts])}`", each.help or "") for each in options)
        yield from _table(("option", "meaning"), rows)


def commands_page() -> str:
    """Every command, from the program itself."""
    lines = [
        "# Commands",
        "",
        _NOTE,
        "",
        "Every command takes `--home DIR`, the home folder; else it is `CLOCKMILL_HOME`, else `~/.clockmill`. Exit",
        "status: 0 done, 1 failed or an unknown id, 2 arguments refused. Times are ISO 8601 in UTC.",
    ]
    for leaf in _leaves(cli, click.Context(cli, info_name="clockmill")):
        lines += _command_section(*leaf)
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "states.md": states_page,
    "trigger-rules.md": trigger_rules_page,
    "configuration.md": configuration_page,
    "commands.md": commands_page,
    "executors.md": lambda: executors_page(_NOTE),
}


def stale_pages() -> list[str]:
    """The pages that do not say what the code says."""
    return [
        name
        for name, page in PAGES.items()
        if not (REFERENCE / name).exists() or (REFERENCE / name).read_text() != page()
    ]


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` name the stale ones."""
    stale = stale_pages()
    if "--check" in arguments:
        for name in stale:
            print(f"docs/reference/{name} is stale: run python -m docs.generate")
        return 1 if stale else 0
    REFERENCE.mkdir(exist_ok=True)
    for name in stale:
        (REFERENCE / name).write_text(PAGES[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
