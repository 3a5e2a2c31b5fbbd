"""The Celery executor as a scheduler has it: it rings doorbells, and never waits for the broker."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from clockmill.errors import ConfigError, did_you_mean
from clockmill.executors.base import BrokeredExecutor, Offer
from clockmill.executors.celery.doorbell import BrokerOptions
from clockmill.executors.setup import ExecutorSetup

if TYPE_CHECKING:
    from clockmill.executors.celery.ringer import Ringer


def need_celery() -> None:
    """Refuse to go on without Celery.

    :raises ConfigError: when it is not installed.
    """
    if importlib.util.find_spec("celery") is None:
        raise ConfigError("The Celery executor needs Celery, which is not installed: pip install 'clockmill[celery]'.")


def need_transport(url: str) -> None:
    """Refuse a broker of a kind that Celery does not know here.

    :param url: ``[celery] broker_url``.
    :raises ConfigError: naming the kind, or what has to be installed for it.
    """
    from celery.exceptions import ImproperlyConfigured
    from kombu.transport import TRANSPORT_ALIASES, get_transport_cls

    kind = url.partition("://")[0].partition("+")[0] if "://" in url else ""
    if kind not in TRANSPORT_ALIASES:
        raise ConfigError(
            f"[celery] broker_url is of no kind that Celery knows: {kind!r}.{did_you_mean(kind, TRANSPORT_ALIASES)} "
            "It begins with redis://, rediss://, amqp:// or amqps://."
        )
    try:
        get_transport_cls(kind)
    except (ImportError, ImproperlyConfigured, NameError) as error:  # some trip over a library that they lack
        raise ConfigError(f"[celery] broker_url is of the kind {kind!r}, which cannot be used: {error}.") from error


class CeleryExecutor(BrokeredExecutor):
    """Offers attempts to workers by Celery; ``clockmill celery worker`` starts one.

    :param setup: its options are those of the section ``[celery]``.
    :raises ConfigError: when Celery is not installed, or an option is no good.
    """

    #: The section of the configuration whose options hold where ``[executor.NAME]`` says nothing else.
    config_section: ClassVar[str] = "celery"
    switches_users: ClassVar[bool] = False

    def __init__(self, setup: ExecutorSetup) -> None:
        super().__init__(setup.name)
        need_celery()
        self._clock = setup.clock
        self._options = BrokerOptions.of(setup)
        need_transport(self._options.url)
        self._ringer: Ringer | None = None

    def start(self, epoch: int) -> None:
        """Begin to send."""
        from clockmill.executors.celery.ringer import Ringer  # Celery takes its time to load

        super().start(epoch)
        if self._ringer is None:
            self._ringer = Ringer(self._options, self._clock)

    def offer(self, offers: Sequence[Offer]) -> None:
        """Ring for these attempts, soon."""
        if self._ringer is not None:
            self._ringer.ring(offers)

    def worker_command(self, queues: Sequence[str]) -> str:
        """The command, with the name of this executor where it is not the usual one."""
        chosen = "" if self.name == "celery" else f" --executor {self.name}"
        return f"clockmill celery worker{chosen} --queues {','.join(queues)}"

    def stop_attempts(self, attempt_ids: Iterable[str], reason: str) -> None:
        """Have the workers ask soon what to do: they hear of it then, and not only with their next beat."""
        if self._ringer is not None:
            self._ringer.nudge(attempt_ids)

    def stop(self, grace: float) -> None:
        """Offer nothing more."""
        super().stop(grace)
        self.detach()

    def detach(self) -> None:
        """Let go of the broker."""
        if self._ringer is not None:
            self._ringer.close()
            self._ringer = None
