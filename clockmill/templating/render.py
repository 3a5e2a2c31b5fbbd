"""Fill the template fields of a task from its context.

Strings are rendered, lists, tuples, sets and dictionaries are walked, references to the results of other tasks are
resolved. What another task returned is never read as a template.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from clockmill.errors import DagDefinitionError, GatewayUnavailable, TaskGone, TaskSignal, did_you_mean
from clockmill.model.xcom_arg import Reference

_MARKS = ("{{", "{%", "{#")
_SHOWN = 200

Explain = Callable[[str], str | None]


class Literal:
    """A value that is taken as it is, even where it looks like a template; see :func:`literal`."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"literal({self.value!r})"


def literal(value: Any) -> Literal:
    """Keep ``value`` from being rendered: ``bash_command=literal("echo '{{ not a template }}'")``."""
    return Literal(value)


class Templated(Protocol):
    """What is asked of a task, or of an object inside a field that has template fields of its own."""

    template_fields: Sequence[str]


def render_fields(
    task: Any,
    context: Mapping[str, Any],
    *,
    folder: Path,
    explain: Explain | None = None,
    known: Iterable[Any] = (),
) -> dict[str, Any]:
    """The template fields of ``task`` with their values for this run.

    :param folder: the folder of the DAG file, where template files are looked for first.
    :param explain: says why a name is not in the context, when there is more to say than that.
    :param known: values that come from other tasks; where they are found in a field, they are taken as they are.
    :raises DagDefinitionError: names the task, the field and the line of the template.
    """
    renderer = _Renderer(task, context, folder, explain or (lambda name: None), _parts(known))
    return {name: renderer.render(name, getattr(task, name, None)) for name in task.template_fields}


def rendered(
    task: Any,
    context: Mapping[str, Any],
    *,
    folder: Path,
    explain: Explain | None = None,
    known: Iterable[Any] = (),
) -> Any:
    """A copy of ``task`` whose template fields are filled; see :func:`render_fields`."""
    fields = render_fields(task, context, folder=folder, explain=explain, known=known)
    filled = copy.copy(task)
    for name, value in fields.items():
        # An operator may refuse to be changed once its DAG is complete; this is a copy of it for one try.
        object.__setattr__(filled, name, value)
    return filled


def render_text(task: Any, name: str, context: Mapping[str, Any], *, folder: Path) -> str:
    """The attribute ``name`` of ``task``, which is text, filled in.

    :raises DagDefinitionError: names the task, the attribute and the line of the template.
    """
    return str(_Renderer(task, context, folder, lambda name: None).render(name, getattr(task, name)))


def _parts(values: Iterable[Any]) -> dict[int, Any]:
    """Everything in ``values`` that could be taken for a template, by its identity."""
    found: dict[int, Any] = {}
    todo = list(values)
    while todo:
        value = todo.pop()
        if isinstance(value, (bool, int, float, type(None))) or id(value) in found:
            continue
        found[id(value)] = value
        if isinstance(value, (list, tuple, set, frozenset)):
            todo += value
        elif isinstance(value, dict):
            todo += value.values()
    return found


class _Renderer:
    def __init__(
        self,
        task: Any,
        context: Mapping[str, Any],
        folder: Path,
        explain: Explain,
        known: Mapping[int, Any] | None = None,
    ) -> None:
        self._known = known or {}
        self._task = task
        self._dag = task.dag
        self._context = context
        self._folder = folder
        self._explain = explain
        self._field = ""
        options = self._dag.jinja_environment_kwargs or {}
        # With marks of its own, any text of the DAG may be a template.
        self._own_marks = any(name.endswith(("_string", "_prefix")) for name in options)

    @cached_property
    def _jinja(self) -> ModuleType:
        try:
            from clockmill.templating import environment
        except ModuleNotFoundError as error:  # a task may run in a Python of its own, which need not have it
            raise DagDefinitionError(
                f"Task {self._task.task_id!r}, field {self._field!r} holds a template, and its Python, "
                f"{sys.executable}, has no {error.name}: install it there, or wrap the text in literal()."
            ) from error
        return environment

    @cached_property
    def _environment(self) -> Any:
        dag, own = self._dag, getattr(self._task, "render_template_as_native_obj", None)
        return self._jinja.build(
            self._folders(),
            native=dag.render_template_as_native_obj if own is None else own,
            undefined=dag.template_undefined,
            macros=dag.user_defined_macros,
            filters=dag.user_defined_filters,
            options=dag.jinja_environment_kwargs,
        )

    def render(self, field: str, value: Any) -> Any:
        """The value of one field, rendered."""
        self._field = field
        return self._walk(value)

    def _walk(self, value: Any) -> Any:
        if id(value) in self._known:
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Literal):
            return value.value
        if isinstance(value, Reference):
            return value.resolve(self._context)
        if isinstance(value, dict):
            return {key: self._walk(item) for key, item in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self._walk, value))
        if isinstance(value, (list, tuple, set, frozenset)):
            return type(value)(map(self._walk, value))
        return self._object(value) if getattr(value, "template_fields", None) else value

    def _object(self, value: Templated) -> Any:
        filled = copy.copy(value)
        for name in value.template_fields:
            setattr(filled, name, self._walk(getattr(value, name, None)))
        return filled

    def _text(self, text: str) -> Any:
        if self._own_marks or any(mark in text for mark in _MARKS):
            return self._fill(text, lambda: self._environment.from_string(text))
        if self._is_file(text):
            return self._fill(self._file(text).read_text(), lambda: self._environment.get_template(text))
        return text

    def _fill(self, source: str, load: Callable[[], Any]) -> Any:
        environment = self._jinja
        try:
            return environment.render(load(), self._context)
        except (TaskSignal, TaskGone, GatewayUnavailable):
            raise
        except Exception as error:
            problem = self._problem(source, error, environment.line_of(error), environment.undefined_name(error))
            raise DagDefinitionError(problem) from error

    def _problem(self, source: str, error: Exception, line: int | None, unknown: str | None) -> str:
        lines = source.splitlines() or [""]
        shown = lines[min(line or 1, len(lines)) - 1].strip()
        if len(shown) > _SHOWN:
            shown = shown[:_SHOWN] + "..."
        where = f", line {line}" if line and len(lines) > 1 else ""
        why = f"{error}.{self._hint(unknown)}" if unknown else f"{type(error).__name__}: {error}"
        place = f"Task {self._task.task_id!r}, field {self._field!r}{where}"
        return f"{place}: the template {shown!r} cannot be filled: {why}"

    def _hint(self, name: str) -> str:
        told = self._explain(name)
        return f" {told}" if told else did_you_mean(name, self._context)

    def _is_file(self, text: str) -> bool:
        if "\n" in text or not text.endswith(tuple(self._task.template_ext)):
            return False
        # "bash run.sh" is a command, unless there is such a file.
        return not any(map(str.isspace, text)) or any((folder / text).is_file() for folder in self._folders())

    def _file(self, name: str) -> Path:
        for folder in self._folders():
            if (folder / name).is_file():
                return folder / name
        places = ", ".join(str(folder) for folder in self._folders())
        raise DagDefinitionError(
            f"Task {self._task.task_id!r}, field {self._field!r}: there is no template file {name!r} in {places}. "
            "If the text is no file name, end it with a blank or wrap it in literal()."
        )

    def _folders(self) -> list[Path]:
        extra = self._dag.template_searchpath or ()
        names: Iterable[Any] = (extra,) if isinstance(extra, (str, Path)) else extra
        return [self._folder, *(self._folder / name for name in names)]
