"""What the files of ``deploy/`` say, read with as little knowledge of them as will do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from clockmill.cli.main import cli

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
ENV_FILES = [DEPLOY / "clockmill.env", *sorted((DEPLOY / "systemd").glob("*.env"))]
_UNITS_OF_TIME = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def compose() -> dict[str, Any]:
    """The compose file with its merges done."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def services() -> dict[str, dict[str, Any]]:
    """All services of the compose file, by name."""
    return dict(compose()["services"])


def ours() -> dict[str, dict[str, Any]]:
    """Those that run our program."""
    return {name: each for name, each in services().items() if str(each["image"]).startswith("clockmill:")}


def variables(path: Path, *, commented: bool = False) -> dict[str, str]:
    """What an environment file sets; with what it would if the comment sign before it were taken away."""
    start = r"^#?" if commented else "^"
    return dict(re.findall(start + r"([A-Z_]+)=(.*)$", path.read_text(), re.M))


def unit(path: Path) -> Iterator[tuple[str, str]]:
    """The settings of a unit in order, those that are commented out as well."""
    yield from re.findall(r"^#?([A-Z][A-Za-z]+)=(.*)$", path.read_text(), re.M)


def unit_variables(path: Path) -> dict[str, str]:
    """The environment that a unit sets."""
    pairs = (value.partition("=") for name, value in unit(path) if name == "Environment")
    return {name: value for name, _, value in pairs}


def seconds(text: str) -> float:
    """``5m45s`` or ``345`` in seconds."""
    parts = re.findall(r"(\d+)(ms|h|m|s|$)", text)
    return sum(float(number) * _UNITS_OF_TIME[unit or "s"] for number, unit in parts)


def parsed(words: list[str]) -> Mapping[str, Any]:
    """The values of a command line of ours; click refuses what is no command, option or value of one."""
    assert words[0].rpartition("/")[2] == "clockmill"
    command: click.Command | None = cli
    context, rest = click.Context(cli, info_name="clockmill"), words[1:]
    while isinstance(command, click.Group):
        name, *rest = rest
        command = command.get_command(context, name)
        context = click.Context(command or cli, parent=context, info_name=name)
        if command is None:
            raise click.UsageError(f"There is no command {name!r}.")
    return command.make_context(context.info_name, rest, parent=context.parent).params
