"""Notifiers: callbacks that are objects, with fields that are templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clockmill.model.context import Context, await_result


class BaseNotifier:
    """Tells somebody of something. Subclasses take their arguments in ``__init__`` and define :meth:`notify`.

    A notifier goes wherever a callback goes: ``on_failure_callback=SlackNotifier(text="{{ task.task_id }} failed")``.
    """

    #: Attributes whose strings are rendered by Jinja before :meth:`notify`.
    template_fields: Sequence[str] = ()
    template_ext: Sequence[str] = ()

    def notify(self, context: Context) -> None:
        """Tell of it. By default waits for :meth:`async_notify`."""
        await_result(self.async_notify(context))

    async def async_notify(self, context: Context) -> None:
        """Tell of it without blocking; for a notifier that defines no :meth:`notify`."""
        raise NotImplementedError(f"{type(self).__name__} has neither notify nor async_notify.")

    def __call__(self, context: Context, *_: Any) -> None:
        """Tell of it, as a callback is called."""
        self.notify(context)
