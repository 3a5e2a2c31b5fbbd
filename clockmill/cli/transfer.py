"""Files that variables, connections and pools are exported to and imported from."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from clockmill.cli.base import same_options
from clockmill.cli.output import warn
from clockmill.credentials import FileFormat, file_format
from clockmill.credentials.fields import MASK
from clockmill.errors import Conflict, UsageError

T = TypeVar("T")

STANDARD = Path("-")

file_argument = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
format_option = click.option(
    "--file-format",
    type=click.Choice([each.value for each in FileFormat]),
    help="How the file is written; else its suffix says, and JSON is used on standard input and output.",
)
existing_option = click.option(
    "--action-on-existing-key",
    "-a",
    "existing",
    type=click.Choice(["overwrite", "skip", "fail"]),
    default="overwrite",
    show_default=True,
    help="What to do with names that exist.",
)
import_options = same_options(file_argument, format_option, existing_option)


def format_of(file: Path, chosen: str | None) -> FileFormat:
    """How a file is written.

    :raises UsageError: when neither the person nor its suffix says.
    """
    if chosen:
        return FileFormat(chosen)
    return FileFormat.JSON if file == STANDARD else file_format(file)


def read(file: Path) -> str:
    """The text of a file; ``-`` is standard input.

    :raises UsageError: when it cannot be read.
    """
    if file == STANDARD:
        return sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The file {file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"The file {file} is not UTF-8 text.") from None


def write(file: Path, text: str, *, has_secrets: bool) -> None:
    """Write an export, readable by its owner alone; ``-`` is standard output.

    :raises UsageError: when it cannot be written.
    """
    if has_secrets:
        warn(f"{'The output' if file == STANDARD else file} holds secrets in plain text.")
    if file == STANDARD:
        click.echo(text, nl=False)
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise UsageError(f"The file {file} cannot be written: {error.strerror}.") from None


def choose(items: Iterable[T], name: Callable[[T], str], existing: Collection[str], action: str, kind: str) -> list[T]:
    """The items of a file to be set.

    :param action: ``overwrite``, ``skip`` or ``fail`` for those whose name exists.
    :raises Conflict: naming all that exist, when the action is ``fail``.
    """
    found = list(items)
    doubles = [name(item) for item in found if name(item) in existing]
    if doubles and action == "fail":
        raise Conflict(f"There is a {kind} of that name already, so nothing was imported: {', '.join(doubles)}.")
    return [item for item in found if action != "skip" or name(item) not in existing]


def refuse_masked(kind: str, name: str, values: Iterable[Any]) -> None:
    """Keep an export without secrets from overwriting them.

    :raises UsageError: when a value is the mask.
    """
    if MASK in values:
        raise UsageError(
            f"The {kind} {name!r} is masked in this file, so nothing was imported: export with --show-secrets."
        )
