"""Where people who know Airflow find what they look for under another name."""

from __future__ import annotations

_MIGRATE = "The tables are made by 'clockmill db migrate'."
_NO_LOGIN = "Clockmill has no login: a proxy before the web server asks who comes."
_FOREGROUND = "It stays in the foreground, to be kept running by systemd or a container."
_LIST = "'clockmill workers list' shows the workers."

_COMMANDS = {
    "celery flower": _LIST,
    "celery list-workers": _LIST,
    "celery stop": "Send TERM to the process of the worker: it takes nothing new, and leaves when its tasks are over.",
    "db init": _MIGRATE,
    "db upgrade": _MIGRATE,
    "executors": "'clockmill config get-value core executor' shows which are in use, 'clockmill info' which are there.",
    "flower": _LIST,
    "jobs": "'clockmill health' shows the services.",
    "providers": "'clockmill info' shows what is installed.",
    "roles": _NO_LOGIN,
    "rotate-fernet-key": "Put a new key on top of HOME/keys/fernet.key, then export and import what is encrypted.",
    "tasks run": "'clockmill tasks test' runs one task here and now, 'clockmill tasks clear' has it run again.",
    "users": _NO_LOGIN,
    "worker": "Did you mean 'celery worker'?",
}
_OPTIONS = {"-D": _FOREGROUND, "--daemon": _FOREGROUND}


def of_command(path: str) -> str:
    """What to do instead of a command that is not here; an empty string when nobody knows.

    :param path: the words of it, without the name of the program.
    """
    return _COMMANDS.get(path, "")


def of_option(name: str) -> str:
    """What to know of an option that is not here; an empty string when nobody knows."""
    return _OPTIONS.get(name, "")
