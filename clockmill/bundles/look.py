"""One look at a DAG folder: which files are there, and whether everything could be seen."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from clockmill.bundles.ignore import IgnoreRules, is_virtual_environment

_MAX_DEPTH = 64


class Signature(NamedTuple):
    """What tells a changed file without reading it; times in nanoseconds."""

    size: int
    modified: int
    changed: int
    inode: int
    device: int
    mode: int


@dataclass
class Look:
    """What one walk through a folder found.

    :param files: signature by path relative to the root, with ``/``.
    :param problems: what could not be seen, by path, with the reason; ``"."`` is the folder itself.
    """

    files: dict[str, Signature] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def is_healthy(self) -> bool:
        """Whether a file that is not in here is really gone: everything was seen, and the folder is not empty."""
        return bool(self.files) and not self.problems


def signature_of(status: os.stat_result) -> Signature:
    """The signature of a regular file."""
    return Signature(
        status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, status.st_mode & 0o100
    )


def look_at(root: Path) -> Look:
    """Walk through ``root``; symbolic links are followed as long as they stay inside it. Raises nothing."""
    look = Look()
    real = os.path.realpath(root)
    _Walk(look, real).folder("", Path(real), IgnoreRules(), (real,))
    return look


class _Walk:
    def __init__(self, look: Look, root: str) -> None:
        self._look = look
        self._inside = f"{root}{os.sep}"

    def folder(self, relative: str, path: Path, rules: IgnoreRules, above: tuple[str, ...]) -> None:
        """Look at one folder; ``above`` are the real paths of the folders on the way, which a link may lead back to."""
        try:
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            names = [entry.name for entry in entries]
            if relative and is_virtual_environment(names):
                return
            rules = rules.within(relative, names, path)
        except OSError as error:
            self._problem(relative.rstrip("/") or ".", error)
            return
        for entry in entries:
            self._entry(relative + entry.name, entry, rules, above)

    def _entry(self, relative: str, entry: os.DirEntry[str], rules: IgnoreRules, above: tuple[str, ...]) -> None:
        try:
            relative.encode()
        except UnicodeEncodeError:
            shown = relative.encode(errors="backslashreplace").decode()
            self._look.problems[shown] = f"The name of the file {shown!r} is not UTF-8; rename it."
            return
        try:
            is_link = entry.is_symlink()
            real = os.path.realpath(entry.path) if is_link else entry.path
            if is_link and not real.startswith(self._inside):
                return
            status = entry.stat()
        except FileNotFoundError:
            return  # gone since the folder was read, or a link to nothing
        except OSError as error:
            self._problem(relative, error)
            return
        if stat.S_ISREG(status.st_mode) and not rules.leaves_out(relative):
            self._look.files[relative] = signature_of(status)
        elif stat.S_ISDIR(status.st_mode) and not rules.leaves_out(f"{relative}/"):
            self._below(relative, real, entry.path, rules, above)

    def _below(self, relative: str, real: str, path: str, rules: IgnoreRules, above: tuple[str, ...]) -> None:
        if real in above or len(above) > _MAX_DEPTH:
            return  # a link that leads back to where we are
        self.folder(f"{relative}/", Path(path), rules, (*above, real))

    def _problem(self, relative: str, error: OSError) -> None:
        what = "The DAG folder" if relative == "." else f"{relative!r}"
        self._look.problems[relative] = f"{what} cannot be read: {error.strerror or error}."
