"""How an exception of user code is told: one line as the reason, and the traceback without our own frames."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from clockmill.errors import ClockmillError

MAX_REASON = 500

_PACKAGE = Path(__file__).resolve().parent.parent
_OURS = f"{_PACKAGE}/"
#: The example DAGs lie in the package, but they are user code.
_EXAMPLES = f"{_PACKAGE}/dags/"


def reason_of(error: BaseException) -> str:
    """``error`` as one line, ``ExceptionType: message``, shortened."""
    message = " ".join(_text_of(error).split())
    if len(message) > MAX_REASON:
        message = f"{message[:MAX_REASON]}..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def print_failure(error: BaseException) -> None:
    """Write the traceback of ``error`` to stderr, which is the log of the task, from the user's code on.

    An error that we raise on purpose explains itself: where no frame is the user's, only its line is written.
    """
    told = traceback.TracebackException.from_exception(error)
    if _keep_user_frames(told) or isinstance(error, ClockmillError):
        text = "".join(told.format())
    else:
        text = "".join(traceback.format_exception(error))
    sys.stdout.flush()
    sys.stderr.write(text)
    sys.stderr.flush()


def _keep_user_frames(told: traceback.TracebackException) -> bool:
    """Drop our frames from ``told`` and all that it was raised from; whether any frame is left."""
    users = [frame for frame in told.stack if not _is_ours(frame.filename)]
    told.stack = traceback.StackSummary.from_list(users)
    related = [told.__cause__, told.__context__, *(told.exceptions or ())]
    for other in related:
        if other is not None:
            _keep_user_frames(other)
    return bool(users)


def _is_ours(filename: str) -> bool:
    return filename.startswith(_OURS) and not filename.startswith(_EXAMPLES)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - the author's __str__ may raise anything; the attempt ends all the same
        return f"(its message cannot be shown: {type(broken).__name__})"
