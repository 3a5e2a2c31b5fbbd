"""What the modules of this package that know special types ask of the codec that calls them."""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

TAG = "__type__"


class Writer(Protocol):
    """The encoder at work on one value, as a helper sees it."""

    def item(self, key: Any, value: Any) -> Any:
        """Encode what is found under ``value[key]``."""
        ...

    def field(self, name: str, value: Any) -> Any:
        """Encode what is found under ``value.name``."""
        ...

    def fail(self, problem: str) -> NoReturn:
        """Give up on the value at hand: raises a SerializationError that says where it sits."""
        ...


class Reader(Protocol):
    """The decoder at work on one value, as a helper sees it."""

    def decode(self, data: Any) -> Any:
        """The value for ``data``, as read from JSON."""
        ...

    def find_class(self, name: str) -> type:
        """The class written as ``module:qualified name``; refused unless the reader allows classes."""
        ...
