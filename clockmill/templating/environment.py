"""The Jinja environment of a DAG. Only this module imports Jinja, and only a field with a template loads it."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateSyntaxError, UndefinedError
from jinja2.nativetypes import NativeEnvironment
from jinja2.sandbox import SandboxedEnvironment

from clockmill.templating.dates import FILTERS

_UNDEFINED = re.compile(r"'(\w+)' is undefined")


class _NativeSandbox(NativeEnvironment, SandboxedEnvironment):
    """A sandbox whose templates give Python values instead of text."""


def build(
    folders: Sequence[Path],
    *,
    native: bool = False,
    undefined: Any = None,
    macros: Mapping[str, Any] | None = None,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Environment:
    """An environment for the templates of one DAG.

    :param folders: where template files are looked for, in order.
    :param native: give Python values: ``{{ [1, 2] }}`` is a list.
    :param undefined: Jinja's class for names that do not exist; one that raises when None.
    :param macros: more names for templates.
    :param filters: more filters.
    :param options: more arguments for Jinja's ``Environment``, which win over ours.
    """
    settings: dict[str, Any] = {
        "loader": FileSystemLoader([str(folder) for folder in folders]),
        "undefined": undefined or StrictUndefined,
        "extensions": ["jinja2.ext.do"],
        # A shell script or a here-document needs its last line end.
        "keep_trailing_newline": True,
        **(options or {}),
    }
    environment = (_NativeSandbox if native else SandboxedEnvironment)(**settings)
    environment.filters.update(FILTERS)
    environment.filters.update(filters or {})
    environment.globals.update(macros or {})
    return environment


def render(template: Template, context: Mapping[str, Any]) -> Any:
    """The template filled from ``context``, of which only the names that it uses are looked up."""
    names = ChainMap(context, template.globals)  # type: ignore[arg-type]
    environment = template.environment
    return environment.concat(template.root_render_func(template.new_context(names, shared=True)))  # type: ignore[arg-type]


def undefined_name(error: BaseException) -> str | None:
    """The name that a template used and nobody defined, when ``error`` says so."""
    match = _UNDEFINED.search(str(error)) if isinstance(error, UndefinedError) else None
    return match and match.group(1)


def line_of(error: BaseException) -> int | None:
    """The line of the template where ``error`` came up, from 1."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    return _line_in(error.__traceback__)


def _line_in(traceback: TracebackType | None) -> int | None:
    line = None
    while traceback:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return line
