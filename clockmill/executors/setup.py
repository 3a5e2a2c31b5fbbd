"""What an executor is told when it is made: one record, so that a class of another package need know nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clockmill.clock import Clock, SystemClock
from clockmill.config.options import truth
from clockmill.errors import ConfigError, did_you_mean

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSetup:
    """The one argument of an executor class.

    :param name: what this instance is called: in ``executor=``, in the rows of its attempts, in messages.
    :param home: the home of the installation, absolute; tasks have it as their working directory.
    :param run_folder: for locks and sockets of this instance alone; made by the executor when it needs it.
    :param slots: how many attempts it may run at once on this machine.
    :param resources: what it may offer besides, sizes in bytes; None when nobody said.
    :param gateway: ``module:function`` that a supervisor calls with ``gateway_spec`` to open the task gateway.
    :param gateway_spec: what that function is called with. It holds secrets: hand it over by a pipe, never in an
        argument vector.
    :param orphan_grace: seconds that supervisors go on without a scheduler.
    :param key: what messages to workers are signed with.
    :param max_tasks_per_process: how many tasks a process may run, one after the other, where it can be kept.
    :param max_log_bytes: how much of what an attempt writes its log takes; the rest is dropped.
    :param options: the rest of the section ``[executor.NAME]`` of the configuration; see :meth:`read_options`.
    """

    name: str
    home: Path
    run_folder: Path
    slots: int
    gateway: str
    gateway_spec: Mapping[str, Any]
    orphan_grace: float = 600.0
    max_tasks_per_process: int = 1
    max_log_bytes: int = 1 << 30
    clock: Clock = field(default_factory=SystemClock)
    key: bytes = field(default=b"", repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, float] | None = None

    def read_options(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The options that this executor knows, as configured, the others as in ``defaults``.

        A value has to be of the type of its default; text, which is what the environment gives, is converted.

        :param defaults: name -> default; a true or false, a number or a text.
        :raises ConfigError: when an option is set that is not among them, or to something of another type.
        """
        for name in self.options:
            if name not in defaults:
                raise ConfigError(f"[executor.{self.name}] has no option {name!r}.{did_you_mean(name, defaults)}")
        return {name: self._read(name, default) for name, default in defaults.items()}

    def _read(self, name: str, default: Any) -> Any:
        if name not in self.options:
            return default
        value = self.options[name]
        try:
            return _converted(value, type(default))
        except ValueError:
            kind = _WORDS[type(default)]
            raise ConfigError(f"[executor.{self.name}] {name} is {value!r}, but must be {kind}.") from None


def _converted(value: Any, kind: type) -> Any:
    if isinstance(value, str) and kind is bool:
        return truth(value)
    if isinstance(value, str) or (kind is float and type(value) is int):
        return kind(value)
    if type(value) is not kind:
        raise ValueError
    return value
