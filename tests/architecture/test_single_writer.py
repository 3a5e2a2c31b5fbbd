"""Only ``storage/transitions`` writes a state column of a run, a task instance or an attempt."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import clockmill

PACKAGE = Path(clockmill.__file__).parent
WRITER = "storage/transitions/"
TABLES = {"dag_run", "task_instance", "attempt", "backfill"}
_SQL = re.compile(r"\b(UPDATE|INSERT\s+INTO)\s+(dag_run|task_instance|attempt|backfill)\b", re.IGNORECASE)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def writers_of_state(source: str) -> list[str]:
    """The functions in ``source`` that insert or update one of the tables and name its state column."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    found = {function.name for function in functions if _writes(function) and _names_state(function)}
    found.update(f"line {node.lineno}" for node in ast.walk(tree) if _is_writing_sql(node))
    return sorted(found)


def _writes(function: Function) -> bool:
    return any(_table_written(call) in TABLES for call in _calls(function))


def _calls(function: Function) -> Iterator[ast.Call]:
    return (node for node in ast.walk(function) if isinstance(node, ast.Call))


def _table_written(call: ast.Call) -> str | None:
    """The table of ``update(T)``, ``insert(T)``, ``T.update()``, ``T.insert()`` or ``update_rows(c, "T", ...)``."""
    called = call.func
    if isinstance(called, ast.Name | ast.Attribute) and _last(called) in {"update", "insert"}:
        if call.args:
            return _last(call.args[0])
        return _last(called.value) if isinstance(called, ast.Attribute) else None
    if _last(called) == "update_rows" and len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
        return str(call.args[1].value)
    return None


def _last(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _names_state(function: Function) -> bool:
    keywords = (keyword.arg for call in _calls(function) for keyword in call.keywords)
    constants = (node.value for node in ast.walk(function) if isinstance(node, ast.Constant))
    # The columns that update_rows assigns are named elsewhere, so that it always counts as naming the state.
    helpers = any(_last(call.func) == "update_rows" for call in _calls(function))
    return helpers or "state" in {*keywords} or "state" in {*constants}


def _is_writing_sql(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(_SQL.search(node.value))


def modules() -> list[str]:
    return sorted(
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "migrations" not in path.parts and "dags" not in path.parts
    )


@pytest.mark.parametrize("module", [name for name in modules() if not name.startswith(WRITER)])
def test_module_does_not_write_a_state_column(module: str) -> None:
    assert writers_of_state((PACKAGE / module).read_text()) == []


def test_the_one_writer_is_found_so_that_the_search_is_known_to_work() -> None:
    found = [writers_of_state(path.read_text()) for path in (PACKAGE / WRITER).glob("*.py")]
    assert len([writer for writers in found for writer in writers]) >= 8


@pytest.mark.parametrize(
    "body",
    [
        "c.execute(update(dag_run).where(x).values(state='failed'))",
        "c.execute(dag_run.update().values({'state': new}))",
        "c.execute(insert(tables.attempt), [{'state': 'running'}])",
        "c.execute(text('UPDATE task_instance SET state = :s'))",
        "update_rows(c, 'attempt', COLUMNS, ASSIGNED, 'true', rows)",
    ],
)
def test_each_way_to_write_a_state_is_noticed(body: str) -> None:
    assert writers_of_state(f"def sneak(c):\n    {body}\n")


@pytest.mark.parametrize(
    "body",
    [
        "c.execute(update(dag_run).values(note='fine'))",
        "c.execute(select(dag_run.c.state))",
        "c.execute(insert(pool).values(state='not ours'))",
    ],
)
def test_reading_a_state_or_writing_something_else_is_allowed(body: str) -> None:
    assert not writers_of_state(f"def honest(c):\n    {body}\n")
