"""``config``: the settings, with where each value comes from."""

from __future__ import annotations

import os
import re
from typing import Any

import click

from clockmill import config as settings_module
from clockmill.cli.app import App
from clockmill.cli.base import Group, pass_app
from clockmill.cli.output import output_option, show_rows
from clockmill.cli.params import show_secrets_option
from clockmill.config import Option, Settings
from clockmill.errors import NotFound


@click.group(cls=Group)
def config() -> None:
    """Show the settings."""


@config.command("list")
@click.option("--section", help="Only this section.")
@show_secrets_option
@output_option
@pass_app
def list_options(app: App, section: str | None, show_secrets: bool, output: str) -> None:
    """List every option with its value and where that comes from."""
    executors = _executor_rows(app.settings, show_secrets)
    sections = dict.fromkeys(
        [*(each.section for each in settings_module.OPTIONS), *(row["section"] for row in executors)]
    )
    if section is not None and section not in sections:
        raise NotFound("section", section, sections)
    rows = [
        {
            "section": each.section,
            "key": each.name,
            "value": _shown(app.settings, each, show_secrets),
            "source": app.settings.sources[each.path],
            "meaning": each.traits.meaning,
        }
        for each in settings_module.OPTIONS
        if section in (None, each.section)
    ]
    rows += [row for row in executors if section in (None, row["section"])]
    show_rows(rows, ["section", "key", "value", "source", *(["meaning"] if output in ("json", "yaml") else [])], output)


@config.command("get-value")
@click.argument("section")
@click.argument("key")
@show_secrets_option
@pass_app
def get_value(app: App, section: str, key: str, show_secrets: bool) -> None:
    """Print the value of one option."""
    for each in settings_module.OPTIONS:
        if (each.section, each.name) == (section, key):
            value = _shown(app.settings, each, show_secrets)
            click.echo(str(value).lower() if isinstance(value, bool) else value)
            return
    raise NotFound("option", f"{section} {key}", [f"{each.section} {each.name}" for each in settings_module.OPTIONS])


def _executor_rows(settings: Settings, show_secrets: bool) -> list[dict[str, Any]]:
    """What is set of single executors; which options they have, and which of these are secret, they alone know."""
    return [
        {
            "section": f"executor.{name}",
            "key": key,
            "value": value if show_secrets else _veiled(key, value),
            "source": "environment" if f"CLOCKMILL__EXECUTOR__{name}__{key}".upper() in os.environ else "file",
            "meaning": "",
        }
        for name, options in sorted(settings.executors.items())
        for key, value in sorted(options.items())
    ]


def _veiled(key: str, value: Any) -> Any:
    if re.search("secret|password|token|key|options", key):
        return "***"
    return _without_password(value) if isinstance(value, str) else value


def _without_password(url: str) -> str:
    # Up to the last @, since not everybody writes one of a password as %40.
    return re.sub(r"(://[^:@/;\s]*:)[^;\s]*@", r"\1***@", url)


def _shown(settings: Settings, each: Option, show_secrets: bool) -> Any:
    value = settings.database_url if each.path == "database.url" else settings.value(each)
    if show_secrets or not each.traits.has_secret or not value:
        return value
    # Of a URL the password alone; what is none may be a secret as a whole.
    return _without_password(value) if re.match(r"[a-z0-9+.\-]+://", value) else "***"
