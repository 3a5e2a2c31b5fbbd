"""Executors by name: what ``[core] executor`` says, and the classes that it means.

A class is known by a short name, which its package gives it under the entry-point group ``clockmill.executors``, or by
where it is. None is imported before it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from clockmill.errors import ConfigError, did_you_mean
from clockmill.executors.base import Executor

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

GROUP = "clockmill.executors"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_HOW = "write local, or my_name:my_package.module:MyExecutor for a class of your own"


def chosen(text: str) -> dict[str, str]:
    """The executors that ``[core] executor`` names: name -> where its class is found, the default first.

    ``local,batch:my_pkg.module:MyExecutor`` names two. ``batch:my_pkg.module.MyExecutor`` means the same, and
    ``second:local`` is one more of a kind that is known by a name.

    :raises ConfigError: when it cannot be understood, or a name comes twice.
    """
    found: dict[str, str] = {}
    for entry in (part.strip() for part in text.split(",")):
        name, _, target = (part.strip() for part in entry.partition(":"))
        if not _NAME.fullmatch(name) or (":" in entry and not target):
            raise ConfigError(f"[core] executor: {entry!r} names no executor; {_HOW}.")
        if name in found:
            raise ConfigError(
                f"[core] executor names {name!r} twice; give one of them a name of its own: other:{entry}."
            )
        found[name] = target or name
    return found


def installed() -> EntryPoints:
    """What installed packages offer."""
    from importlib.metadata import entry_points  # which is slow to load, and a list of names does without

    return entry_points(group=GROUP)


def suggestion(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'local'?`` with a leading blank, or an empty string; it knows class names, such as Airflow's."""
    known = list(known)
    short = name.rpartition(".")[2].removesuffix("Executor").lower()
    return did_you_mean(name, known) or (did_you_mean(short, known) if short != name else "")


def load(target: str) -> type[Any]:
    """The executor class that is meant by an entry point's name, ``module:Class`` or ``module.Class``.

    :raises ConfigError: when there is none, or it cannot be imported.
    """
    points = installed()
    if target in points.names:
        place = points[target].value
        return _load(place, f"{target!r} ({place})")
    if ":" in target or "." in target:
        return _load(target, repr(target))
    known = sorted(points.names)
    raise ConfigError(
        f"There is no executor {target!r}.{suggestion(target, known)} Installed: {', '.join(known) or 'none'}; {_HOW}."
    )


def _load(place: str, shown: str) -> type[Any]:
    module_name, _, class_name = place.partition(":") if ":" in place else place.rpartition(".")
    try:
        module = import_module(module_name)
    except SystemExit as error:
        raise ConfigError(
            f"The executor {shown} cannot be loaded: {module_name} calls sys.exit({error.code!r}) when it is imported."
        ) from error
    except Exception as error:  # it may be the module of anybody
        hint = suggestion(class_name, sorted(installed().names)) if module_name.startswith("airflow.") else ""
        raise ConfigError(f"The executor {shown} cannot be loaded: {type(error).__name__}: {error}.{hint}") from error
    loaded = getattr(module, class_name, None)
    if not isinstance(loaded, type):
        hint = did_you_mean(class_name, vars(module).keys() - {class_name})
        raise ConfigError(f"The executor {shown} cannot be loaded: {module_name} has no class {class_name!r}.{hint}")
    wanted = [name for name, what in vars(Executor).items() if callable(what) and not name.startswith("_")]
    if lacking := [name for name in wanted if not hasattr(loaded, name)]:
        raise ConfigError(f"The executor {shown} is none: the class has no {', '.join(lacking)}.")
    return loaded


def config_problem(target: str, config: Mapping[str, Any]) -> str | None:
    """What an executor class finds wrong with the ``executor_config`` of a task; None when nothing.

    :raises ConfigError: when there is no such class.
    """
    check = getattr(load(target), "check_config", None)
    if check is None:
        return None
    try:
        check(config)
    except ValueError as error:
        return str(error)
    return None


def switches_users(target: str) -> bool:
    """Whether an executor class may act on ``run_as_user``; one that does not say may.

    :raises ConfigError: when there is no such class.
    """
    return getattr(load(target), "switches_users", True) is True
