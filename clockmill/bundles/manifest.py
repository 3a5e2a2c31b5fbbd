"""What a bundle is: the files of a folder at one moment, named by what they contain."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

PLAIN_MODE = 0o644
PROGRAM_MODE = 0o755


class FileEntry(NamedTuple):
    """One file of a bundle.

    :param sha256: of its content, hexadecimal.
    :param size: bytes.
    :param mode: :data:`PROGRAM_MODE` when its owner may execute it, else :data:`PLAIN_MODE`.
    """

    sha256: str
    size: int
    mode: int


@dataclass(frozen=True)
class Bundle:
    """An immutable set of files.

    :param files: by path relative to the folder, with ``/``.
    """

    files: Mapping[str, FileEntry]

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, list[object]]) -> Bundle:
        """The bundle that :attr:`manifest` was stored for."""
        return cls({path: FileEntry(str(e[0]), int(str(e[1])), int(str(e[2]))) for path, e in manifest.items()})

    @cached_property
    def manifest(self) -> dict[str, list[object]]:
        """``{path: [sha256, size, mode]}``, sorted, as it is stored."""
        return {path: list(self.files[path]) for path in sorted(self.files)}

    @cached_property
    def hash(self) -> str:
        """The SHA-256 of the manifest, which names the bundle."""
        text = json.dumps(self.manifest, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files.values())
