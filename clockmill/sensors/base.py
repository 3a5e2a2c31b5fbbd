"""The base of all sensors: look, wait, look again, until something is so or the time is up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, NoReturn, Unpack

from clockmill.clock import Clock
from clockmill.errors import (
    DagDefinitionError,
    FailTask,
    RescheduleTask,
    SensorTimeout,
    SkipTask,
    TaskDeferralTimeout,
    TaskGone,
    TaskSignal,
)
from clockmill.model import checks
from clockmill.model.arguments import Duration, OperatorArguments
from clockmill.model.context import Context
from clockmill.model.operator import BaseOperator
from clockmill.sensors.backoff import LONGEST, backoff
from clockmill.triggers.base import BaseTrigger


class PokeReturnValue:
    """What :meth:`BaseSensorOperator.poke` may return in place of a bool.

    :param is_done: whether what the sensor waits for is so.
    :param xcom_value: what the sensor then returns.
    """

    def __init__(self, is_done: bool, xcom_value: Any = None) -> None:
        self.is_done = is_done
        self.xcom_value = xcom_value

    def __bool__(self) -> bool:
        return self.is_done


class SensorMode(StrEnum):
    """How a sensor waits between two looks."""

    POKE = "poke"  #: in its process, holding its slot: for waits of seconds
    RESCHEDULE = "reschedule"  #: without process and slot; each look begins in a new process
    DEFERRABLE = "deferrable"  #: without process and slot; a trigger looks


class BaseSensorOperator(BaseOperator):
    """A task that waits. Define :meth:`poke`, which says whether what it waits for is so.

    :param poke_interval: the time between two looks; in seconds when it is a number.
    :param timeout: how long to wait, counted from the first start of this try, over reschedules, deferrals and
        restarts of the process; then the task fails without another try. 7 days by default.
    :param soft_fail: when the time is up, or ``poke`` raises FailTask, end as skipped instead.
    :param mode: see :class:`SensorMode`.
    :param exponential_backoff: whether the time between two looks doubles each time. Look n waits between half and
        all of ``poke_interval * 2 ** (n - 1)``; where in between is derived from the ids of the task.
    :param max_wait: the longest time between two looks.
    :param silent_fail: whether an exception of ``poke`` is only logged, and counts as "not yet".
    :param never_fail: end as skipped where the sensor would fail, whatever was raised. Not with ``soft_fail``.
    :param deferrable: as ``mode="deferrable"``.
    """

    ui_color = "#e6f1f2"
    #: Whether :meth:`make_trigger` is defined.
    can_defer: ClassVar[bool] = False

    poke_interval: timedelta
    timeout: timedelta
    soft_fail: bool
    mode: SensorMode
    exponential_backoff: bool
    max_wait: timedelta | None
    silent_fail: bool
    never_fail: bool

    def __init__(
        self,
        *,
        poke_interval: Duration = 60,
        timeout: Duration = timedelta(days=7),
        soft_fail: bool = False,
        mode: str = SensorMode.POKE,
        exponential_backoff: bool = False,
        max_wait: Duration | None = None,
        silent_fail: bool = False,
        never_fail: bool = False,
        deferrable: bool = False,
        **kwargs: Unpack[OperatorArguments],
    ) -> None:
        super().__init__(**kwargs)
        given = {name: value for name, value in locals().items() if name in _CHECKS}
        for name, value in checks.checked(f"{type(self).__name__} {self.task_id!r}", _CHECKS, given).items():
            setattr(self, name, value)
        if deferrable:
            self.mode = SensorMode.DEFERRABLE
        self._check_modes()

    def _check_modes(self) -> None:
        if self.soft_fail and self.never_fail:
            raise DagDefinitionError(
                f"{type(self).__name__} {self.task_id!r}: give soft_fail or never_fail, not both; never_fail says more."
            )
        if self.mode is SensorMode.DEFERRABLE and not self.can_defer:
            raise DagDefinitionError(
                f"{type(self).__name__} {self.task_id!r} cannot be deferred, because no trigger looks for it; "
                "mode='reschedule' holds no slot while it waits either."
            )

    @property
    def deferrable(self) -> bool:
        """Whether a trigger looks for it."""
        return self.mode is SensorMode.DEFERRABLE

    @property
    def reschedule(self) -> bool:
        """Whether each look begins in a new process."""
        return self.mode is SensorMode.RESCHEDULE

    # --- what subclasses define ------------------------------------------------------------------------------------

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Whether what the sensor waits for is so."""
        raise NotImplementedError(f"{type(self).__name__} has no method poke.")

    def make_trigger(self, context: Context) -> BaseTrigger:
        """What looks in the place of :meth:`poke` once the first look was in vain; for sensors that can be deferred."""
        raise NotImplementedError(f"{type(self).__name__} has no method make_trigger.")

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Go on once the trigger has seen it; what this returns is the XCom of the task.

        :param event: what the trigger told.
        """
        return None

    # --- what runs -------------------------------------------------------------------------------------------------

    def execute(self, context: Context) -> Any:
        """Look until it is so.

        :raises SensorTimeout: when the time is up.
        :raises SkipTask: instead of a failure, as ``soft_fail`` and ``never_fail`` want it.
        """
        watch = _Watch(context)
        number = watch.looks_before
        with self._lenient():
            while not (seen := self._look(context)):
                number += 1
                left = self.timeout - watch.elapsed()
                if left <= timedelta(0):
                    raise SensorTimeout(f"What the sensor waits for did not come within {self.timeout}.")
                self._wait(context, watch.clock, min(self.next_wait(context, number), left), left)
        return seen.xcom_value if isinstance(seen, PokeReturnValue) else None

    def resume_execution(self, next_method: str, next_kwargs: Any, context: Context) -> Any:
        """Go on after a deferral, by the same rules for what went wrong."""
        with self._lenient():
            try:
                return super().resume_execution(next_method, next_kwargs, context)
            except TaskDeferralTimeout:
                raise SensorTimeout(f"What the sensor waits for did not come within {self.timeout}.") from None

    def next_wait(self, context: Context, number: int) -> timedelta:
        """The time between look ``number``, from 1, and the next."""
        if not self.exponential_backoff:
            return min(self.poke_interval, self.max_wait or self.poke_interval)
        ti = context["ti"]
        seed = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.try_number}"
        return backoff(self.poke_interval, number, seed=seed, longest=self.max_wait)

    def _wait(self, context: Context, clock: Clock, length: timedelta, left: timedelta) -> None:
        if self.mode is SensorMode.DEFERRABLE:
            self.defer(trigger=self.make_trigger(context), method_name="execute_complete", timeout=min(left, LONGEST))
        if self.mode is SensorMode.RESCHEDULE:
            raise RescheduleTask(clock.now() + length)
        clock.sleep(length.total_seconds())

    def _look(self, context: Context) -> bool | PokeReturnValue:
        try:
            return self.poke(context)
        except (TaskSignal, TaskGone):
            raise
        except Exception:
            if not self.silent_fail:
                raise
            self.log.exception("The sensor could not look; it will look again.")
            return False

    @contextmanager
    def _lenient(self) -> Iterator[None]:
        """Turn what is raised inside into a skip, where the author wants that."""
        try:
            yield
        except FailTask as error:
            if self.soft_fail or self.never_fail:
                self._skip(error)
            raise
        except (TaskSignal, TaskGone):
            raise
        except Exception as error:
            if self.never_fail:
                self.log.exception("The sensor failed; it ends as skipped, as never_fail says.")
                self._skip(error)
            raise

    def _skip(self, error: Exception) -> NoReturn:
        raise SkipTask(f"{type(error).__name__}: {error}") from error


class _Watch:
    """How long this try of a sensor has waited."""

    def __init__(self, context: Context) -> None:
        ti = context["ti"]
        self.clock: Clock = ti.clock
        self.looks_before: int = ti.reschedules
        self._began = self.clock.monotonic()
        first: datetime = ti.first_start or self.clock.now()
        self._before: timedelta = max(self.clock.now() - first, timedelta(0))

    def elapsed(self) -> timedelta:
        """Since the first start of this try."""
        return self._before + timedelta(seconds=self.clock.monotonic() - self._began)


_CHECKS: dict[str, checks.Check] = {
    "poke_interval": checks.duration,
    "timeout": checks.duration,
    "soft_fail": checks.flag,
    "mode": checks.one_of(SensorMode),
    "exponential_backoff": checks.flag,
    "max_wait": checks.optional(checks.duration),
    "silent_fail": checks.flag,
    "never_fail": checks.flag,
}
