"""Logs in a store of files or objects somewhere else, by fsspec: S3, GCS, Azure, SFTP, a mounted folder.

Objects cannot grow. While an attempt runs, each piece is an object, named after its first byte; sending it again puts
the same one there. Once the attempt is over, one object with everything takes their place.
"""

from __future__ import annotations

import contextlib
import json
import logging
import posixpath
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from clockmill.errors import ConfigError, UsageError, did_you_mean
from clockmill.logs.merged import Log, Place, Segment, log_of
from clockmill.logs.paths import SUFFIX, name_of

log = logging.getLogger(__name__)

#: Where folders have to be made first.
_WITH_FOLDERS = frozenset({"sftp", "ssh", "smb", "ftp", "hdfs", "arrow_hdfs"})
_PASSWORD = re.compile(r"(?<=:)[^:@/]+(?=@)")
_DIGITS = 15


class LogsUnavailable(UsageError):
    """The store of the logs does not do what it is asked for, or not in time."""


class LogStore:
    """A place for logs outside of this machine. Every method raises :class:`LogsUnavailable` when it does not answer.

    :param url: as ``[logs] remote`` has it: ``s3://BUCKET/PREFIX``.
    :param options: for the library of that kind of store, as ``[logs] storage_options`` has them.
    :raises ConfigError: when the library is missing, or the URL or an option is no good.
    """

    def __init__(self, url: str, options: str = "") -> None:
        self.url = url
        self._files, root = _open(url, json.loads(options or "{}"))
        self._root = root.rstrip("/")
        protocol = self._files.protocol
        kinds = {protocol} if isinstance(protocol, str) else set(protocol)
        self._is_local = "file" in kinds
        self._has_folders = self._is_local or not _WITH_FOLDERS.isdisjoint(kinds)

    def add(self, key: str, attempt_id: str, offset: int, data: bytes) -> None:
        """Keep a piece of what an attempt wrote.

        :param key: of the log: the path of its file below the folder of the logs, without the suffix.
        """
        name = f"{self._path(key, name_of(attempt_id))}/{offset:0{_DIGITS}d}{SUFFIX}"
        self._do("written", lambda: self._put(lambda path: self._files.pipe_file(path, data), name))

    def finish(self, key: str, attempt_id: str, file: Path, *, tidy: bool) -> None:
        """Keep all that an attempt wrote, in place of the pieces.

        :param tidy: whether there may be pieces.
        """
        pieces = self._path(key, name_of(attempt_id))
        whole = f"{pieces}{SUFFIX}"
        self._do("written", lambda: self._put(lambda path: self._files.put_file(str(file), path), whole))
        if tidy:
            try:
                self._do("deleted", lambda: self._delete_below(pieces))
            except LogsUnavailable as error:  # everything is there; the pieces are not looked at any more
                log.warning("%s: pieces of a log are left behind. %s", pieces, error)

    def find(self, key: str) -> Log:
        """What is there of a log."""
        folder = self._path(key)
        segments: dict[str, list[Segment]] = {}
        whole = set()
        found = self._do("read", lambda: self._listed(folder))
        for name in sorted(found, key=lambda each: each.count("/"), reverse=True):
            part, _, piece = name.removesuffix(SUFFIX).partition("/")
            if not piece:  # it comes after the pieces, and takes their place
                whole.add(part)
                segments[part] = [Segment(part=part, start=0, size=found[name], place=f"{folder}/{name}")]
            elif piece.isdecimal():
                one = Segment(part=part, start=int(piece), size=found[name], place=f"{folder}/{name}")
                segments.setdefault(part, []).append(one)
        return log_of((each for part in segments.values() for each in part), whole, self.fetch)

    def fetch(self, ranges: Sequence[tuple[Place, int, int]]) -> list[bytes]:
        """Ranges of objects.

        :raises FileNotFoundError: when one went away.
        """
        names, starts, ends = ([each[number] for each in ranges] for number in range(3))
        if not names:
            return []
        work = partial(self._files.cat_ranges, names, starts, ends, on_error="raise")
        return [bytes(each) for each in self._do("read", work, may_be_gone=True)]

    def _listed(self, folder: str) -> dict[str, int]:
        self._files.invalidate_cache()
        found = self._files.find(folder, detail=True)
        if not found and self._has_folders and not self._files.isdir(self._root):
            raise FileNotFoundError(f"there is no folder {self._root}")  # as when it is not mounted
        below = folder.lstrip("/") + "/"
        sizes = {name.lstrip("/").removeprefix(below): info["size"] or 0 for name, info in found.items()}
        return {name: size for name, size in sizes.items() if name.endswith(SUFFIX)}

    def _put(self, put: Callable[[str], object], path: str) -> None:
        if self._has_folders:
            self._files.makedirs(posixpath.dirname(path), exist_ok=True)
        if not self._is_local:
            put(path)
            return
        put(f"{path}.new")  # or it would be seen while it is written
        self._files.mv(f"{path}.new", path)

    def _delete_below(self, folder: str) -> None:
        for name in self._listed(folder):
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(f"{folder}/{name}")
        if self._has_folders:
            with contextlib.suppress(OSError):
                self._files.rmdir(folder)

    def _path(self, *names: str) -> str:
        return "/".join((self._root, *names))

    def _do(self, what: str, work: Callable[[], Any], *, may_be_gone: bool = False) -> Any:
        """Do it, with what a library for a store may raise as one kind of error."""
        try:
            return work()
        except Exception as error:
            if may_be_gone and isinstance(error, FileNotFoundError):
                raise
            raise LogsUnavailable(f"The logs in {self.url} cannot be {what}: {_told(error)}") from error


def _told(error: Exception) -> str:
    return _PASSWORD.sub("***", " ".join(str(error).split())) or type(error).__name__


def _open(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
        from fsspec.registry import available_protocols
    except ImportError:
        raise ConfigError(
            f"[logs] remote is {url}, for which fsspec is needed: pip install 'clockmill[logs]'."
        ) from None
    kind = url.partition("://")[0]
    if kind not in available_protocols():
        raise ConfigError(
            f"[logs] remote: there is no kind of store {kind!r}.{did_you_mean(kind, available_protocols())}"
        )
    try:
        files, root = url_to_fs(url, **options)
    except Exception as error:  # a library is missing, or does not know what is in the URL or the options
        raise ConfigError(f"[logs] remote is {url}, which cannot be used: {_told(error)}.") from error
    return files, root
