"""How a program of a task's own is started: with which Python, where, and within which limits of the kernel.

:data:`OPTIONS` is the table of what can be chosen; :func:`check` refuses what is wrong with a choice before anything is
started, and :func:`apply` makes it hold for the process that calls it, which then becomes that program.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clockmill.errors import did_you_mean
from clockmill.host import processes

#: What a task's process is told about itself: nobody else may set it.
_RESERVED = frozenset({processes.ATTEMPT_MARK, "IDEMPOTENCY_KEY"})
_RESERVED_PREFIX = "CLOCKMILL_"
#: What tells one Python where to find its modules misleads another.
_OF_ONE_PYTHON = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "VIRTUAL_ENV")
#: Processor seconds between the signal that can be handled and the one that cannot.
_CPU_GRACE = 5
_LEAST_MEMORY_MB = 32
_LEAST_FILES = 16
_MOST = 2**31 - 1


class LaunchError(Exception):
    """A program cannot be started as it was asked for; one sentence for people."""


def _path(value: Any) -> None:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError(f"must be an absolute path, not {value!r}")


def _python(value: Any) -> None:
    if not isinstance(value, str) or not value or "\0" in value or ("/" in value and value[0] != "/"):
        raise ValueError(f"must be the path of an interpreter or of a virtual environment, or a name, not {value!r}")


def _environment(value: Any) -> None:
    if not isinstance(value, Mapping):
        raise ValueError(f"must be a dictionary, not {value!r}")
    for name, text in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise ValueError(f"has {name!r}, which is no name of a variable")
        if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
            raise ValueError(f"must leave {name} alone, which tells the task who it is")
        if not isinstance(text, str) or "\0" in text:
            raise ValueError(f"must give {name} a string, not {text!r}")


def _whole(least: int, most: int = _MOST) -> Callable[[Any], None]:
    def check_number(value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}, not {value!r}")

    return check_number


#: What ``executor_config`` may hold -> raises :class:`ValueError` with the end of a sentence.
OPTIONS: dict[str, Callable[[Any], None]] = {
    "python": _python,
    "cwd": _path,
    "env": _environment,
    "cpu_seconds": _whole(1),
    "memory_mb": _whole(_LEAST_MEMORY_MB),
    "open_files": _whole(_LEAST_FILES),
    "nice": _whole(-20, 19),
}

#: Names that people look for here -> what to do instead.
_ELSEWHERE = dict.fromkeys(("user", "run_as_user"), "Give the task itself run_as_user='NAME'.")


def check(config: Mapping[str, Any]) -> None:
    """Refuse choices that can never be started.

    :raises ValueError: with a sentence that names the first of them.
    """
    for name, value in config.items():
        if name not in OPTIONS:
            hint = f" {_ELSEWHERE[name]}" if name in _ELSEWHERE else did_you_mean(str(name), OPTIONS)
            raise ValueError(f"there is no {name!r}.{hint} Known are {', '.join(OPTIONS)}.")
        try:
            OPTIONS[name](value)
        except ValueError as error:
            raise ValueError(f"{name} {error}.") from None


def interpreter(config: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """The path of the Python to start: the one that is wanted, or this one.

    :param environment: its ``PATH`` is where a bare name is looked for, unless ``env`` has another one.
    :raises LaunchError: when there is none.
    """
    wanted = config.get("python")
    search = {**environment, **config.get("env", {})}.get("PATH", os.defpath)
    return sys.executable if wanted is None else _found(wanted, search)


def environment_for(config: Mapping[str, Any], python: str, environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` as it fits that Python, a virtual environment being in use as if activated, and ``env``."""
    fitting = dict(environment)
    if python != sys.executable:
        for name in _OF_ONE_PYTHON:
            fitting.pop(name, None)
        home = Path(python).parent.parent
        if (home / "pyvenv.cfg").exists():
            fitting["VIRTUAL_ENV"] = str(home)
            fitting["PATH"] = f"{home}/bin:{environment.get('PATH', os.defpath)}"
    fitting.update(config.get("env", {}))
    return fitting


def _found(wanted: str, search: str) -> str:
    if "/" not in wanted:
        for place in [Path(folder) / wanted for folder in search.split(":") if folder]:
            if place.is_file() and os.access(place, os.X_OK):
                return str(place)
        raise LaunchError(f"There is no program {wanted!r} in {search}.")
    path = Path(wanted)
    if not path.exists():
        raise LaunchError(f"There is no Python at {wanted!r}.")
    if not path.is_dir():
        return str(path)
    if not (path / "bin" / "python").exists():
        raise LaunchError(f"There is no Python in the folder {wanted!r}: it has no bin/python.")
    return str(path / "bin" / "python")


def apply(config: Mapping[str, Any], user: str | None) -> dict[str, str]:
    """Make the limits, the user and the working folder hold for this process and what it starts.

    :param user: who to become; None to stay who we are.
    :returns: the environment variables that a login gives the user.
    :raises LaunchError: when one of them is refused.
    """
    if (nice := config.get("nice")) is not None:
        _change(lambda: os.nice(nice), f"nice={nice} is refused")
    if (seconds := config.get("cpu_seconds")) is not None:
        _limit("cpu_seconds", seconds, resource.RLIMIT_CPU, seconds, seconds + _CPU_GRACE)
    if (files := config.get("open_files")) is not None:
        _limit("open_files", files, resource.RLIMIT_NOFILE, files, files)
    login = {} if user is None else _become(user)
    if (folder := config.get("cwd")) is not None:
        _change(lambda: os.chdir(folder), f"The working folder {folder!r} cannot be entered")
    if (megabytes := config.get("memory_mb")) is not None:
        _limit("memory_mb", megabytes, resource.RLIMIT_DATA, megabytes << 20, megabytes << 20)
    return login


def _limit(name: str, value: int, kind: int, soft: int, hard: int) -> None:
    _, most = resource.getrlimit(kind)
    # A limit that is there already may be lower than the grace asks for; who may raise it need not heed it.
    if most != resource.RLIM_INFINITY and os.geteuid() != 0:
        hard = min(hard, most)
    if soft > hard:
        raise LaunchError(f"{name}={value} is refused: this service itself may not have more than {most}.")
    _change(lambda: resource.setrlimit(kind, (soft, hard)), f"{name}={value} is refused")


def _become(user: str) -> dict[str, str]:
    import pwd  # brings name services along, which few tasks need

    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise LaunchError(f"This machine has no user {user!r} (run_as_user).") from None
    if entry.pw_uid != os.geteuid():
        if os.geteuid() != 0:
            raise LaunchError(f"Only root can run a task as another user (run_as_user={user!r}).")
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    return {"HOME": entry.pw_dir, "USER": user, "LOGNAME": user, "SHELL": entry.pw_shell}


def _change(change: Callable[[], object], refused: str) -> None:
    try:
        change()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise LaunchError(f"{refused}: {why}.") from None
