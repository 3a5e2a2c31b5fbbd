"""Making a home: its folders, and a configuration file that explains itself."""

from __future__ import annotations

import json
import textwrap
from itertools import groupby
from pathlib import Path

from clockmill.config.options import Option
from clockmill.config.settings import OPTIONS, SECTIONS, Settings
from clockmill.errors import UsageError

_HEAD = """\
# Settings of Clockmill. What is commented out shows its default.
# An environment variable CLOCKMILL__SECTION__KEY wins over this file, and the command line over both.
"""
_TAIL = """
# A section [executor.NAME] is about one of the executors: slots says how many tasks it runs at once, in place of
# [core] parallelism; its other options are its own.
"""


def default_toml() -> str:
    """The text of a new ``clockmill.toml``: every option, explained and commented out."""
    parts = [_HEAD]
    for section, options in groupby(OPTIONS, key=lambda each: each.section):
        summary = (SECTIONS[section].__doc__ or "").partition(": ")[2]
        parts.append(f"\n# {summary[:1].upper()}{summary[1:]}\n[{section}]\n")
        parts += [_entry(each) for each in options]
    return "".join([*parts, _TAIL])


def create_home(settings: Settings) -> list[Path]:
    """Make what is missing of the home: folders, and the configuration file.

    :returns: what was made, for telling it.
    :raises UsageError: when something cannot be made.
    """
    made = []
    try:
        for folder, mode in _folders(settings):
            if not folder.is_dir():
                folder.mkdir(parents=True, mode=mode)
                made.append(folder)
        if not settings.config_file.exists():
            settings.config_file.write_text(default_toml(), encoding="utf-8")
            made.append(settings.config_file)
    except OSError as error:
        raise UsageError(f"{error.filename or settings.home} cannot be created: {error.strerror}.") from error
    return made


def _folders(settings: Settings) -> list[tuple[Path, int]]:
    return [
        (settings.home, 0o755),
        (settings.dags_folder, 0o755),
        (settings.logs_folder, 0o755),
        (settings.bundles_folder, 0o755),
        (settings.run_folder, 0o700),
        (settings.keys_folder, 0o700),
    ]


def _entry(each: Option) -> str:
    meaning = each.traits.meaning
    if each.traits.unit:
        meaning += f" In {each.traits.unit}."
    if each.traits.default_text:
        meaning += f" Default: {each.traits.default_text}."
    lines = textwrap.wrap(meaning, 100, initial_indent="# ", subsequent_indent="# ")
    default = str(each.default) if isinstance(each.default, Path) else each.default
    return "\n".join([*lines, f"#{each.name} = {json.dumps(default)}"]) + "\n"
