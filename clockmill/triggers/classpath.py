"""From the import path of a class to the class."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast


def find_class(class_path: str) -> type[Any]:
    """The class that an import path names, a nested one too.

    :param class_path: as in ``package.module.Class``.
    :raises ImportError: when there is no such module, or it raises while it is imported.
    :raises AttributeError: when the module has no such name.
    :raises TypeError: when it names something that is no class.
    """
    path, *names = class_path.split(".")
    if not names:
        raise ImportError(f"{class_path!r} is not of the form module.Class")
    found: Any = import_module(path)
    for name in names:
        found = _below(found, path, name)
        path = f"{path}.{name}"
    if not isinstance(found, type):
        raise TypeError(f"{class_path!r} is no class")
    return cast("type[Any]", found)


def _below(found: Any, path: str, name: str) -> Any:
    """What has that name in a module or class; of a package, also a module that nobody has imported yet."""
    if hasattr(found, name) or not hasattr(found, "__path__"):
        return getattr(found, name)
    try:
        return import_module(f"{path}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{path}.{name}":
            raise
        raise AttributeError(f"package {path!r} has no {name!r}") from None
