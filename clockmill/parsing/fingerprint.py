"""Whether a file has to be parsed again: a hash over all that its outcome depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property

from clockmill.bundles import Bundle, FileEntry
from clockmill.parsing.results import Dependencies

_ABSENT = "-"


class Fingerprints:
    """The fingerprints of files in one bundle.

    :param program: what else the outcome depends on: the version of this program, settings.
    """

    def __init__(self, bundle: Bundle, program: str) -> None:
        self._bundle = bundle
        self._program = program

    def of(self, needs: Dependencies) -> str:
        """The fingerprint of a file with those dependencies."""
        lines = [self._program, *self._contents(needs)]
        lines += [f"{folder}/ {self._listing(folder)}" for folder in needs.folders]
        if needs.whole:
            lines.append(self._bundle.hash)
        return _hash(lines)

    def code_hash(self, needs: Dependencies) -> str:
        """A hash over the contents alone, which tells whether the code of a DAG changed."""
        return _hash(self._contents(needs))

    def _contents(self, needs: Dependencies) -> list[str]:
        files: Mapping[str, FileEntry] = self._bundle.files
        return [f"{path} {files[path].sha256 if path in files else _ABSENT}" for path in needs.files]

    def _listing(self, folder: str) -> str:
        return _hash(sorted(self._names.get(folder, ())))

    @cached_property
    def _names(self) -> dict[str, set[str]]:
        """The names in each folder."""
        names: dict[str, set[str]] = {}
        for path in self._bundle.files:
            while path:
                folder, _, name = path.rpartition("/")
                if name in names.setdefault(folder, set()):
                    break
                names[folder].add(name)
                path = folder
        return names


def _hash(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
