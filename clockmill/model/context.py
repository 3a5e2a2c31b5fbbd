"""The context of a running task: what its code may ask for by name, and how it is handed over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType
from typing import Any

from clockmill.errors import UsageError

Context = Mapping[str, Any]

#: The names under which the context holds something; a function that has a parameter of that name is given it.
CONTEXT_KEYS = frozenset(
    {
        "conn",
        "dag",
        "dag_run",
        "data_interval_end",
        "data_interval_start",
        "ds",
        "ds_nodash",
        "exception",
        "expanded_ti_count",
        "inlet_events",
        "inlets",
        "logical_date",
        "macros",
        "map_index_template",
        "outlet_events",
        "outlets",
        "params",
        "prev_data_interval_end_success",
        "prev_data_interval_start_success",
        "prev_end_date_success",
        "prev_start_date_success",
        "reason",
        "run_id",
        "task",
        "task_instance",
        "task_instance_key_str",
        "task_reschedule_count",
        "templates_dict",
        "test_mode",
        "ti",
        "triggering_asset_events",
        "try_number",
        "ts",
        "ts_nodash",
        "ts_nodash_with_tz",
        "var",
    }
)

_current: ContextVar[Context | None] = ContextVar("clockmill_context", default=None)


def get_current_context() -> Context:
    """The context of the task that is running.

    :raises UsageError: outside of a running task.
    """
    context = _current.get()
    if context is None:
        raise UsageError("get_current_context() works only while a task runs, not when its DAG file is loaded.")
    return context


@contextmanager
def running_in(context: Context) -> Iterator[None]:
    """Make ``context`` the current one for the code inside the ``with`` statement."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def call_with_context(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], context: Context
) -> Any:
    """Call ``function``, adding of ``context`` what its signature names; of a coroutine, the result is waited for.

    A parameter that ``args`` or ``kwargs`` fill already is left alone. ``**anything`` in the signature takes the
    whole context.
    """
    result = function(*args, **kwargs, **_wanted(function, args, kwargs, context))
    if hasattr(result, "__await__"):
        return await_result(result)
    return result


def _wanted(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], context: Context
) -> dict[str, Any]:
    signature = parameters_of(function)
    taken = {*signature.positional[: len(args)], *kwargs}
    names: Iterable[str] = _all_of(context, function) if signature.takes_all else signature.by_name
    return {name: context[name] for name in names if name in context and name not in taken}


def _all_of(context: Context, function: Callable[..., Any]) -> list[str]:
    """What ``**context`` is given: all but what has to be asked for, unless the code of ``function`` names it."""
    dear: frozenset[str] = getattr(context, "asked_for", frozenset())
    named = _texts_of(getattr(function, "__code__", None)) if dear else set()
    return [name for name in context if name not in dear or name in named]


def _texts_of(code: CodeType | None) -> set[str]:
    """The strings that code holds, that of its inner functions included."""
    if code is None:
        return set()
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return {const for const in code.co_consts if isinstance(const, str)}.union(*map(_texts_of, inner))


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a function takes.

    :param positional: the parameters that can be given by position, in order.
    :param by_name: the parameters that can be given by name.
    :param required: those of them without a default.
    :param defaults: the defaults of the others.
    :param takes_all: whether there is a ``**``.
    :param takes_more: whether there is a ``*``.
    """

    positional: tuple[str, ...] = ()
    by_name: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    takes_all: bool = False
    takes_more: bool = False


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """What ``function`` takes; nothing for a built-in function that keeps its signature to itself."""
    try:
        return _parameters_of(function)
    except TypeError:  # an unhashable callable
        return _parameters_of.__wrapped__(function)


@lru_cache(maxsize=1024)
def _parameters_of(function: Callable[..., Any]) -> Parameters:
    import inspect

    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return Parameters()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Parameters(
        positional=tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)),
        by_name=tuple(p.name for p in named),
        required=tuple(p.name for p in named if p.default is p.empty),
        defaults={p.name: p.default for p in named if p.default is not p.empty},
        takes_all=any(p.kind is p.VAR_KEYWORD for p in parameters),
        takes_more=any(p.kind is p.VAR_POSITIONAL for p in parameters),
    )


def await_result(awaitable: Any) -> Any:
    """Wait for a coroutine in an event loop of its own."""
    import asyncio

    async def wait() -> Any:
        return await awaitable

    return asyncio.run(wait())


def inside_a_task() -> bool:
    """Whether a task is running here."""
    return _current.get() is not None
