"""Files and functions stay small enough to be read in one go."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import clockmill

PACKAGE = Path(clockmill.__file__).parent
MODULE_LINES = 420
FUNCTION_LINES = 55
#: Functions of at most so many lines are nine in ten of all.
NINE_IN_TEN_LINES = 20

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), path.read_text()


def function_lengths() -> dict[str, int]:
    """Lines of each function, its docstring not counted."""
    return {
        f"{name}:{node.name}": _length(node)
        for name, source in sources()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, Function)
    }


def _length(function: Function) -> int:
    docstring = ast.get_docstring(function, clean=False)
    documented = 0 if docstring is None else len(docstring.splitlines())
    return (function.end_lineno or function.lineno) - function.lineno + 1 - documented


def test_no_module_is_longer_than_its_budget() -> None:
    lengths = {name: len(source.splitlines()) for name, source in sources()}
    assert {name: lines for name, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_no_function_is_longer_than_its_budget() -> None:
    assert {name: lines for name, lines in function_lengths().items() if lines > FUNCTION_LINES} == {}


def test_nine_functions_in_ten_are_short() -> None:
    assert statistics.quantiles(function_lengths().values(), n=10)[-1] <= NINE_IN_TEN_LINES
