"""Executors that the configuration no longer names, while attempts of them are left.

Each folder of an executor keeps where its class is found, so that a later scheduler can make it once more: to hear how
what it runs ends, and to give it nothing new.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from clockmill.errors import ConfigError
from clockmill.executors.base import Executor

log = logging.getLogger(__name__)

_FILE = "class"


def remember(folder: Path, chosen: Mapping[str, str]) -> None:
    """Write down where the classes of executors are found.

    :param folder: has or gets a folder for each executor.
    :param chosen: what :func:`clockmill.executors.registry.chosen` gave.
    """
    for name, target in chosen.items():
        own = folder / name
        with suppress(OSError, UnicodeDecodeError):
            if (own / _FILE).read_text() == target:  # a scheduler comes back also while the disk is full
                continue
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = own / f".{_FILE}.{os.getpid()}"  # several schedulers of a home may begin at once
        draft.write_text(target)
        draft.replace(own / _FILE)


def revive(folder: Path, names: Iterable[str], make: Callable[[str, str], Executor]) -> dict[str, Executor]:
    """Make those executors once more that were chosen here before; of the others, other hosts take care.

    One that cannot be made is left out with a warning: nobody hears of its attempts until it is chosen again.

    :param make: makes an executor from its name and where its class is found.
    """
    revived = {}
    for name in sorted(names):
        try:
            target = (folder / name / _FILE).read_text()
            revived[name] = make(name, target)
        except FileNotFoundError:
            continue
        except ConfigError as error:
            log.warning("attempts of the executor %r wait until [core] executor names it again: %s", name, error)
        else:
            log.info("the executor %r is no longer in [core] executor; what it runs may end", name)
    return revived
