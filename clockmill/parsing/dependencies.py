"""What a DAG file depends on inside its folder.

Three ways to know, and all are used: what Python opens or lists while the file is imported, by an audit hook; which
modules it has loaded afterwards; and what its source names, because tasks import helpers and open templates only when
they run. An edit to any of them makes a new version of the DAGs of the file.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from types import CodeType
from typing import Any

from clockmill.parsing.results import Dependencies

_LONGEST_NAME = 300
_IMPORT_SYSTEM = ("importlib._bootstrap_external", "importlib._bootstrap", "zipimport")


class Folder:
    """The names in a materialised bundle, read once for all files that are parsed from it.

    :param root: absolute, without symbolic links.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        #: for sources that were read already, the files that they name
        self.known_sources: dict[str, list[str]] = {}

    @cached_property
    def files(self) -> frozenset[str]:
        """Every file, relative to the root."""
        found = []
        for folder, _, names in os.walk(self.root):
            relative = os.path.relpath(folder, self.root)
            found += names if relative == "." else [f"{relative}/{name}" for name in names]
        return frozenset(found)

    def read(self) -> None:
        """Read the names now; what forks later has them."""
        _ = self._by_name

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        named: dict[str, list[str]] = {}
        for path in sorted(self.files):
            named.setdefault(path.rpartition("/")[2], []).append(path)
        return named

    def relative(self, path: str) -> str | None:
        """``path`` relative to the root, or None when it lies outside."""
        absolute = os.path.normpath(path if path.startswith("/") else f"{Path.cwd()}/{path}")
        if absolute == self.root:
            return ""
        return absolute[len(self.root) + 1 :] if absolute.startswith(f"{self.root}/") else None

    def named(self, text: str) -> list[str]:
        """The files whose path is ``text`` or ends in ``/text``."""
        text = text.strip().removeprefix("./")
        if not text or len(text) > _LONGEST_NAME or "\n" in text:
            return []
        candidates = self._by_name.get(text.rpartition("/")[2], [])
        return [path for path in candidates if path == text or path.endswith(f"/{text}")]

    def modules(self, name: str, package: str) -> Iterator[str]:
        """The files that importing ``name`` may load, as far as they are in the folder.

        :param package: the folder of the importing file, for relative and neighbouring imports.
        """
        parts = name.split(".")
        for base in dict.fromkeys(("", package)):
            for end in range(1, len(parts) + 1):
                stem = "/".join(filter(None, (base, *parts[:end])))
                for path in (f"{stem}.py", f"{stem}/__init__.py"):
                    if path in self.files:
                        yield path


class Recorder:
    """An audit hook that notes what is opened and listed below one folder.

    :param folder: paths elsewhere are not noted.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._last_before = next(reversed(sys.modules))
        self.opened: set[str] = set()
        self.listed: set[str] = set()
        self.is_active = True

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take note of one event of the interpreter."""
        if not self.is_active or event not in ("open", "os.listdir", "os.scandir"):
            return
        path = arguments[0] if arguments else None
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if event != "open" and _is_import_system():
            return
        if isinstance(path, str) and (relative := self._folder.relative(path)) is not None:
            (self.opened if event == "open" else self.listed).add(relative)

    def loaded(self) -> Iterator[str]:
        """The modules below the folder that were imported meanwhile.

        The newest come last; looking at all the others would copy half of the memory that is shared with the parent.
        """
        try:
            new = list(takewhile(lambda name: name != self._last_before, reversed(sys.modules)))
        except RuntimeError:  # a thread of the file is importing at this moment
            new = list(sys.modules)
        for name in new:
            path = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(path, str) and (relative := self._folder.relative(path)):
                yield relative


def _is_import_system() -> bool:
    """Whether the function that raised the event was called by Python's own search for modules."""
    frame = sys._getframe(2)
    return frame.f_globals.get("__name__") in _IMPORT_SYSTEM


def dependencies_of(file: str, folder: Folder, recorder: Recorder | None, *, whole: bool = False) -> Dependencies:
    """Everything in the folder that the outcome of ``file`` depends on.

    :param recorder: what was noted while the file was imported; None when it was not.
    :param whole: passed on to the result.
    """
    files = {file, *(recorder.loaded() if recorder else ()), *(recorder.opened if recorder else ())}
    files = {path for path in files if path and "__pycache__" not in path}
    files |= _named_by_sources(files, folder)
    listed = tuple(sorted(recorder.listed)) if recorder else ()
    return Dependencies(files=tuple(sorted(files)), folders=listed, whole=whole)


def _named_by_sources(files: Iterable[str], folder: Folder) -> set[str]:
    """What the sources name: modules that they import anywhere, and files by a string that is their path or its end."""
    found: set[str] = set()
    waiting = [path for path in files if path.endswith(".py")]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if path not in folder.known_sources:
            folder.known_sources[path] = sorted(set(_named_by_source(path, folder)))
        found.update(folder.known_sources[path])
        more = {name for name in folder.known_sources[path] if name.endswith(".py")} - seen
        seen |= more
        waiting += more
    return found


def _named_by_source(path: str, folder: Folder) -> Iterator[str]:
    try:
        tree = ast.parse((Path(folder.root) / path).read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return
    package = path.rpartition("/")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                yield from folder.named(text)
            case ast.Import(names=names):
                for alias in names:
                    yield from folder.modules(alias.name, package)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = _climb(package, level)
                stem = f"{module}." if module else ""
                for name in (module or "", *(f"{stem}{alias.name}" for alias in names)):
                    yield from folder.modules(name, base) if name else ()


def _climb(package: str, level: int) -> str:
    """The folder that a relative import of that level begins in."""
    for _ in range(level - 1):
        package = package.rpartition("/")[0]
    return package


def looks_like_a_dag(source: bytes) -> bool:
    """Whether a Python file may define DAGs, so that it is worth importing.

    Scripts and helpers in the folder that speak neither of DAGs nor of us are never run. What cannot be compiled is
    taken for a DAG file, so that its author is told.
    """
    lower = source.lower()
    if any(word in lower for word in (b"clockmill", b"airflow", b"dag")):
        return True
    try:
        compiled: CodeType = compile(source, "file", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return compiled is None
