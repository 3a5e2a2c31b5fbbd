"""What an attempt may leave behind in the interpreter: noted before, looked for and mended after."""

from __future__ import annotations

import builtins
import gc
import locale
import logging
import socket
import sys
import warnings
from collections.abc import Iterator
from typing import Any

_STREAMS = ("stdin", "stdout", "stderr")


class PythonState:
    """The interpreter as the DAG file left it once it was loaded.

    What modules hold in their variables is not looked at: that is what a process is kept for.
    """

    def __init__(self) -> None:
        self._builtins = dict(vars(builtins))
        self._streams = _streams()
        self._path = list(sys.path)
        self._filters = list(warnings.filters)
        self._showwarning = warnings.showwarning
        self._locale = locale.setlocale(locale.LC_ALL)
        self._recursion = sys.getrecursionlimit()
        self._switching = sys.getswitchinterval()
        self._traced = (sys.gettrace(), sys.getprofile())
        self._collects = (gc.isenabled(), gc.get_threshold())
        self._patience = socket.getdefaulttimeout()
        self._loggers = {logger: _settings(logger) for logger in _loggers()}
        self._handlers = {handler: (handler.level, handler.formatter, handler.filters[:]) for handler in self._known()}
        self._disabled = logging.root.manager.disable

    def mend(self) -> str:
        """Put back what can be put back; returns what is left, or an empty text."""
        if vars(builtins) != self._builtins:
            return "it changed the builtins"
        if self._streams != _streams():
            return "it changed its standard streams"
        if locale.setlocale(locale.LC_ALL) != self._locale:
            return "it changed its locale"
        if sys.path != self._path:
            sys.path[:] = self._path
        self._mend_interpreter()
        self._mend_warnings()
        self._mend_logging()
        return ""

    def _known(self) -> set[logging.Handler]:
        return {handler for logger in self._loggers for handler in logger.handlers}

    def _mend_interpreter(self) -> None:
        if (sys.gettrace(), sys.getprofile()) != self._traced:
            sys.settrace(self._traced[0])
            sys.setprofile(self._traced[1])
        sys.setrecursionlimit(self._recursion)
        sys.setswitchinterval(self._switching)
        is_enabled, threshold = self._collects
        gc.enable() if is_enabled else gc.disable()
        gc.set_threshold(*threshold)
        socket.setdefaulttimeout(self._patience)

    def _mend_warnings(self) -> None:
        """Also forgotten is what was warned of already: the log of each attempt is to have it."""
        warnings.resetwarnings()
        warnings.filters[:] = self._filters  # type: ignore[index]
        warnings.showwarning = self._showwarning

    def _mend_logging(self) -> None:
        if logging.root.manager.disable != self._disabled:
            logging.disable(self._disabled)
        for logger in _loggers():
            before = self._loggers.get(logger)
            if before is None:
                _silence(logger)
            elif _settings(logger) != before:
                _restore(logger, *before)
        for handler, (level, formatter, filters) in self._handlers.items():
            handler.level, handler.formatter, handler.filters = level, formatter, filters[:]


def _streams() -> list[tuple[int, Any]]:
    streams = [getattr(sys, name) for name in _STREAMS]
    return [(id(stream), _manner(stream)) for stream in streams]


def _manner(stream: Any) -> Any:
    """How a stream writes; None when it is no stream of Python's own, or closed."""
    try:
        return (stream.closed, stream.fileno(), stream.encoding, stream.errors, stream.line_buffering)
    except (AttributeError, ValueError, OSError):
        return None


def _loggers() -> Iterator[logging.Logger]:
    yield logging.root
    yield from (logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger))


def _settings(logger: logging.Logger) -> tuple[Any, ...]:
    return (logger.level, logger.propagate, logger.disabled, logger.handlers[:], logger.filters[:])


def _restore(
    logger: logging.Logger, level: int, propagate: bool, disabled: bool, handlers: list[Any], filters: list[Any]
) -> None:
    logger.setLevel(level)
    logger.propagate, logger.disabled = propagate, disabled
    logger.handlers[:], logger.filters[:] = handlers, filters


def _silence(logger: logging.Logger) -> None:
    """Let a logger that is new keep nothing that writes: the next attempt would add the same once more."""
    logger.handlers[:] = [handler for handler in logger.handlers if isinstance(handler, logging.NullHandler)]
