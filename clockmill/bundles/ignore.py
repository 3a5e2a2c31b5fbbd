"""Which files of a DAG folder are left out of its bundles."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pathspec import GitIgnoreSpec

IGNORE_FILE = ".clockmillignore"

#: Left out everywhere: version control, byte code, and what editors leave beside a file that is being edited.
ALWAYS_IGNORED = (".git", ".hg", ".svn", "__pycache__", "*.py[co]", "*.sw[a-p]", "*~", ".#*", "4913", ".DS_Store")

_VENV_MARK = "pyvenv.cfg"
_ALWAYS = GitIgnoreSpec.from_lines(ALWAYS_IGNORED)
_OF_FOLDER = {".git", ".hg", ".svn", "__pycache__"}


@dataclass(frozen=True)
class IgnoreRules:
    """The patterns that hold in one folder: its own ``.clockmillignore`` and those above it, deeper ones first.

    :param specs: pairs of the folder that the patterns are relative to (``""`` or ending in ``/``) and the patterns.
    """

    specs: tuple[tuple[str, GitIgnoreSpec], ...] = field(default=())

    def within(self, folder: str, names: list[str], path: Path) -> IgnoreRules:
        """The rules for a folder below.

        :param folder: relative to the root, ``""`` or ending in ``/``.
        :param names: what the folder holds.
        :param path: where it is.
        :raises OSError: when its ignore file cannot be read.
        """
        if IGNORE_FILE not in names:
            return self
        lines = (path / IGNORE_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
        return IgnoreRules(((folder, GitIgnoreSpec.from_lines(lines)), *self.specs))

    def leaves_out(self, relative: str) -> bool:
        """Whether a path is left out; a folder's path ends in ``/``."""
        name = relative.rstrip("/").rpartition("/")[2]
        if name in _OF_FOLDER or (not relative.endswith((".py", "/")) and _ALWAYS.match_file(name)):
            return True
        for folder, spec in self.specs:
            verdict = spec.check_file(relative.removeprefix(folder)).include
            if verdict is not None:
                return verdict
        return False


def is_virtual_environment(names: list[str]) -> bool:
    """Whether a folder with these names is a Python virtual environment."""
    return _VENV_MARK in names
