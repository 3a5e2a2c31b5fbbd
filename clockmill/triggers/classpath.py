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
    module, _, names = class_path.partition(".")
    if not names:
        raise ImportError(f"{class_path!r} is not of the form module.Class")
    found: Any
    while not hasattr(found := import_module(module), names.partition(".")[0]):
        name, _, rest = names.partition(".")
        if not rest:
            raise AttributeError(f"module {module!r} has no {name!r}")
        module, names = f"{module}.{name}", rest
    for name in names.split("."):
        found = getattr(found, name)
    if not isinstance(found, type):
        raise TypeError(f"{class_path!r} is no class")
    return cast("type[Any]", found)
