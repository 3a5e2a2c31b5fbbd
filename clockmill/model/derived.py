"""What is made of the outputs of tasks when the DAG is written, and computed when a task uses it: mapped, zipped,
concatenated. A task can be mapped over any of it, and over a list or dictionary that stands in the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

from clockmill.errors import DagDefinitionError, UsageError
from clockmill.model.checks import shown
from clockmill.model.context import Context
from clockmill.model.xcom_arg import Reference, Values, XComArg, references

_NONE = object()


class LiteralValues(Values):
    """A list, tuple or dictionary of the DAG file; there may be outputs of tasks in it."""

    def __init__(self, value: Sequence[Any] | Mapping[Any, Any]) -> None:
        self.items: tuple[Any, ...] = tuple(value.items()) if isinstance(value, Mapping) else tuple(value)
        self.value = value

    def outputs(self) -> Iterator[XComArg]:
        for reference in references(self.items):
            yield from reference.outputs()

    def shape(self) -> dict[str, Any]:
        return {"literal": len(self.items)}

    def length(self, context: Context) -> int:
        return len(self.items)

    @property
    def known_length(self) -> int | None:
        return len(self.items)

    def element(self, context: Context, index: int) -> Any:
        if not 0 <= index < len(self.items):
            raise UsageError(f"{self!r} has no element {index}.")
        return self.items[index]

    def elements(self, context: Context) -> Iterator[Any]:
        return iter(self.items)

    def resolve(self, context: Context) -> Any:
        return self.value

    def __repr__(self) -> str:
        # It goes into the stored DAG, which must not differ each time: no addresses of objects.
        return f"<{len(self.items)} elements of the file>"


class _Derived(Values):
    """Something computed from the elements of other values."""

    inner: tuple[Values, ...]

    def outputs(self) -> Iterator[XComArg]:
        for values in self.inner:
            yield from values.outputs()

    def resolve(self, context: Context) -> Any:
        from clockmill.model.lazyvalues import LazyValues

        return LazyValues(self, context)


class MapXComArg(_Derived):
    """See :meth:`Values.map`."""

    def __init__(self, source: Values, function: Any) -> None:
        if hasattr(function, "override") or not callable(function):
            raise DagDefinitionError(
                f"map() takes a plain function, not {function!r}; it is called in the process of the task that uses "
                "the values, so it cannot be a task itself."
            )
        self.inner = (source,)
        self.function = function

    def shape(self) -> dict[str, Any]:
        return {"map": self.inner[0].shape()}

    def length(self, context: Context) -> int:
        return self.inner[0].length(context)

    def element(self, context: Context, index: int) -> Any:
        return self.function(self.inner[0].element(context, index))

    def elements(self, context: Context) -> Iterator[Any]:
        return map(self.function, self.inner[0].elements(context))

    def __repr__(self) -> str:
        return f"{self.inner[0]!r}.map({getattr(self.function, '__name__', 'function')})"


class ZipXComArg(_Derived):
    """See :meth:`Values.zip`."""

    def __init__(self, sources: Sequence[Any], *, fillvalue: Any = _NONE) -> None:
        self.inner = tuple(values_of("What zip() is given", source) for source in sources)
        self._fillvalue = fillvalue

    @property
    def _is_longest(self) -> bool:
        return self._fillvalue is not _NONE

    def shape(self) -> dict[str, Any]:
        return {"zip": [values.shape() for values in self.inner], "longest": self._is_longest}

    def length(self, context: Context) -> int:
        lengths = [values.length(context) for values in self.inner]
        return max(lengths) if self._is_longest else min(lengths)

    def element(self, context: Context, index: int) -> Any:
        return tuple(self._one(values, context, index) for values in self.inner)

    def _one(self, values: Values, context: Context, index: int) -> Any:
        if self._is_longest and index >= values.length(context):
            return self._fillvalue
        return values.element(context, index)

    def elements(self, context: Context) -> Iterator[Any]:
        several = [values.elements(context) for values in self.inner]
        return zip_longest(*several, fillvalue=self._fillvalue) if self._is_longest else zip(*several, strict=False)

    def __repr__(self) -> str:
        return f"{self.inner[0]!r}.zip({', '.join(map(repr, self.inner[1:]))})"


class ConcatXComArg(_Derived):
    """See :meth:`Values.concat`."""

    def __init__(self, sources: Sequence[Any]) -> None:
        self.inner = tuple(values_of("What concat() is given", source) for source in sources)

    def shape(self) -> dict[str, Any]:
        return {"concat": [values.shape() for values in self.inner]}

    def length(self, context: Context) -> int:
        return sum(values.length(context) for values in self.inner)

    def element(self, context: Context, index: int) -> Any:
        rest = index
        for values in self.inner:
            length = values.length(context)
            if rest < length:
                return values.element(context, rest)
            rest -= length
        raise UsageError(f"{self!r} has no element {index}.")

    def elements(self, context: Context) -> Iterator[Any]:
        return chain.from_iterable(values.elements(context) for values in self.inner)

    def __repr__(self) -> str:
        return f"{self.inner[0]!r}.concat({', '.join(map(repr, self.inner[1:]))})"


def values_of(owner: str, value: Any) -> Values:
    """``value`` as something that can be mapped over.

    :param owner: who is given it, as the error names it.
    :raises DagDefinitionError: when it is neither the output of a task nor a list or dictionary.
    """
    if isinstance(value, Values):
        return value
    if isinstance(value, (list, tuple, dict)):
        return LiteralValues(value)
    advice = "Give a list, a dictionary, or the output of a task."
    if isinstance(value, Reference):
        advice = "Its length is not known to the scheduler; return it from a task, and map over the output of that."
    elif isinstance(value, (set, frozenset)):
        advice = "A set has no order; give sorted(...) of it."
    elif isinstance(value, str):
        advice = f"Give a list with it, [{value!r}], or pass it to partial() for all instances."
    raise DagDefinitionError(f"{owner} is {shown(value)}, which cannot be mapped over. {advice}")
