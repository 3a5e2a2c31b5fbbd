"""Making triggers from what is stored of them; the author's own classes come from the bundle of their DAG."""

from __future__ import annotations

import importlib
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from clockmill.errors import SerializationError
from clockmill.model.loader import load_dags
from clockmill.storage.triggers import WaitingTrigger
from clockmill.triggers.base import BaseTrigger
from clockmill.triggers.classpath import find_class
from clockmill.xcom import decode

_OURS = "clockmill."
_KEPT = 64

Modules = dict[str, ModuleType]


class TriggerCode:
    """The code of triggers.

    Two bundles may hold different modules of one name. So each bundle has modules of its own: they are in
    ``sys.modules`` only while something is imported from it, and a trigger imports what it needs at the top.

    :param bundle_path: gives the folder of a bundle, made when it is missing here.
    """

    def __init__(self, bundle_path: Callable[[str], Path]) -> None:
        self._bundle_path = bundle_path
        self._modules: OrderedDict[tuple[str, str], Modules] = OrderedDict()
        self._classes: dict[tuple[str, str, str], type[Any]] = {}
        self._lock = threading.Lock()

    @staticmethod
    def is_ours(waiting: WaitingTrigger) -> bool:
        """Whether a trigger comes with Clockmill, so that making it takes no time and no bundle."""
        return waiting.class_path.startswith(_OURS)

    def make(self, waiting: WaitingTrigger) -> BaseTrigger:
        """Make a trigger.

        :raises Exception: whatever its module or its constructor raises.
        """
        cls = self._class_of(waiting)
        try:
            kwargs = decode(waiting.kwargs)
        except SerializationError:  # an argument has a class of the author's
            with self._importing(waiting):
                kwargs = decode(waiting.kwargs, allow_classes=True)
        trigger: BaseTrigger = cls(**kwargs)
        if not callable(getattr(trigger, "run", None)):
            raise TypeError(f"{waiting.class_path} is no trigger: it has no method run")
        return trigger

    def _class_of(self, waiting: WaitingTrigger) -> type[Any]:
        if self.is_ours(waiting):
            return find_class(waiting.class_path)
        key = (waiting.bundle, waiting.file, waiting.class_path)
        if key not in self._classes:
            with self._importing(waiting) as root:
                _load_file(root, waiting)
                self._classes[key] = find_class(waiting.class_path)
        return self._classes[key]

    @contextmanager
    def _importing(self, waiting: WaitingTrigger) -> Iterator[Path]:
        """Let imports find the modules of a bundle, and no other bundle's."""
        root = self._bundle_path(waiting.bundle)
        with self._lock:
            modules = self._kept((waiting.bundle, waiting.file))
            sys.modules.update(modules)
            path_before = list(sys.path)
            sys.path.insert(0, str(root))
            importlib.invalidate_caches()
            try:
                yield root
            finally:
                sys.path[:] = path_before
                for name in [name for name, module in sys.modules.copy().items() if _is_below(module, root)]:
                    modules[name] = sys.modules.pop(name)

    def _kept(self, key: tuple[str, str]) -> Modules:
        modules = self._modules.setdefault(key, {})
        self._modules.move_to_end(key)
        if len(self._modules) > _KEPT:
            oldest, _ = self._modules.popitem(last=False)
            self._classes = {name: cls for name, cls in self._classes.items() if name[:2] != oldest}
        return modules


def _load_file(root: Path, waiting: WaitingTrigger) -> None:
    """Import the DAG file, when the class is in there, under the name that it has in a task process."""
    name = f"clockmill_dag_{Path(waiting.file).stem}"
    if waiting.class_path.startswith(f"{name}.") and name not in sys.modules:
        load_dags(root / waiting.file, name, root, thorough=False)


def _is_below(module: ModuleType | None, root: Path) -> bool:
    places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or ())]
    return any(f"{place}/".startswith(f"{root}/") for place in places)
