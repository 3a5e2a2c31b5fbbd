"""What deferred tasks wait for: small asynchronous programs that the triggerer runs, many at a time."""

from clockmill.triggers.base import BaseTrigger, TriggerEvent, sleep_until

__all__ = ["BaseTrigger", "TriggerEvent", "sleep_until"]
