"""The log of the services: everything to ``<home>/logs/clockmill.log``, warnings to stderr as well."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import click

from clockmill.cli.app import App
from clockmill.clock import iso
from clockmill.config import Settings
from clockmill.errors import ConfigError

FILE_NAME = "clockmill.log"
_FILE_BYTES = 20_000_000
_OLD_FILES = 5
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FieldsFormatter(logging.Formatter):
    """A constant sentence, then the fields given as ``extra``: ``TIME LEVEL LOGGER: sentence key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        moment = iso(datetime.fromtimestamp(record.created, UTC))
        fields = "".join(f" {key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        line = f"{moment} {record.levelname} {record.name}: {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _ShortFormatter(FieldsFormatter):
    """For the terminal: of an error no traceback, which is in the file, but what it is: that disk may be full."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record).partition("\n")[0]
        error = record.exc_info[1] if record.exc_info else None
        return line if error is None else f"{line}: {' '.join(f'{type(error).__name__}: {error}'.split())}"


class _File(logging.handlers.RotatingFileHandler):
    """The file of a service; what it cannot take, on a full disk for one, is passed over without a word.

    Services of one home share it: when another one has put it aside, this one goes on in the new file. Otherwise each
    would put aside the nearly empty file of the one before, until nothing of the full one is left.
    """

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # then it stays with the file that it has
            if (old := self.stream) is not None and not _is_at(old, self.baseFilename):
                self.stream = self._open()
                old.close()
        super().emit(record)

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Whether the file is full, by what all have written to it."""
        if self.stream is not None:
            self.stream.seek(0, os.SEEK_END)
        return bool(super().shouldRollover(record))

    def handleError(self, record: logging.LogRecord) -> None:
        return


def _is_at(stream: IO[str], path: str) -> bool:
    try:
        return os.path.samestat(Path(path).stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def log_path(settings: Settings) -> Path:
    """The file that services write to."""
    return settings.logs_folder / FILE_NAME


def tell_start(settings: Settings, service: str) -> None:
    """Say on the terminal that a service has begun, which says no more for as long as all is well."""
    click.echo(f"{service} has begun; its log is {log_path(settings)}", err=True)


def set_up(settings: Settings) -> None:
    """Send the log of this process to the file, and warnings to stderr."""
    file = _File(log_path(settings), maxBytes=_FILE_BYTES, backupCount=_OLD_FILES, encoding="utf-8")
    file.setFormatter(FieldsFormatter())
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.WARNING)
    terminal.setFormatter(_ShortFormatter())
    logging.basicConfig(level=settings.logging.level, handlers=[file, terminal], force=True)
    logging.captureWarnings(True)
    # A line for each step of a migration, or because two requests came at once, is noise here.
    for noisy in ("alembic", "waitress.queue", "watchfiles"):
        logging.getLogger(noisy).setLevel(max(logging.ERROR, logging.getLogger().level))


def keep_traceback(app: App, error: BaseException) -> str:
    """Write the traceback of a bug to the log.

    :returns: a sentence that says where it can be read.
    """
    text = "".join(traceback.format_exception(error))
    try:
        path = log_path(app.settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as log:
            log.write(text)
    except (OSError, ConfigError):
        return f"Its traceback could not be kept:\n{text}"
    return f"Its traceback is in {path}."
