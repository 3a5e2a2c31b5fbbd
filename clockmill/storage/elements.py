"""One element of a stored JSON list, taken out by the database, so that a long list is not sent whole to each task
that is mapped over it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement

#: What begins like this is a tuple or a set; see :mod:`clockmill.xcom.codec`.
_SEQUENCES = "('tuple', 'set', 'frozenset')"


class element_of(FunctionElement[str]):
    """The element at an index of an XCom value, as JSON text; NULL for what is no list, tuple or set."""

    type = Text()
    inherit_cache = True


@compiles(element_of, "sqlite")
def _on_sqlite(call: element_of, compiler: Any, **options: Any) -> str:
    value, index = (compiler.process(clause, **options) for clause in call.clauses)
    return (
        f"CASE WHEN substr({value}, 1, 1) = '[' THEN {value} -> ('$[' || {index} || ']') "
        f"WHEN {value} ->> '$.__type__' IN {_SEQUENCES} THEN {value} -> ('$.value[' || {index} || ']') END"
    )


@compiles(element_of, "postgresql")
def _on_postgresql(call: element_of, compiler: Any, **options: Any) -> str:
    value, index = (compiler.process(clause, **options) for clause in call.clauses)
    return (
        f"CASE WHEN left({value}, 1) = '[' THEN (CAST({value} AS json) -> {index})::text "
        f"WHEN left({value}, 1) = '{{' AND CAST({value} AS json) ->> '__type__' IN {_SEQUENCES} "
        f"THEN (CAST({value} AS json) -> 'value' -> {index})::text END"
    )
