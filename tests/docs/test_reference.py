"""The reference leaves out nothing that a DAG author may write."""

from __future__ import annotations

import re
from pathlib import Path

import clockmill
from clockmill.host import launching
from clockmill.model.arguments import DagArguments, OperatorArguments
from clockmill.model.context import CONTEXT_KEYS
from clockmill.templating import macros
from clockmill.templating.dates import FILTERS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def names_on(page: str) -> set[str]:
    """Every name set in code style on a page."""
    code = " ".join(re.findall(r"`([^`]+)`", (REFERENCE / page).read_text()))
    return set(re.findall(r"\w+", code))


def test_every_argument_of_a_dag_and_of_a_task_is_told() -> None:
    wanted = {*DagArguments.__annotations__, *OperatorArguments.__annotations__}
    assert sorted(wanted - names_on("dag-files.md")) == []


def test_every_key_of_the_context_is_told() -> None:
    assert sorted(CONTEXT_KEYS - names_on("templates.md")) == []


def test_every_filter_and_macro_is_told() -> None:
    own = {name for name in vars(macros) if name.startswith(("ds_", "datetime_"))}
    assert sorted({*FILTERS, *own} - names_on("templates.md")) == []


def test_every_name_for_dag_files_is_shown_somewhere() -> None:
    pages = "\n".join(page.read_text() for page in REFERENCE.parent.rglob("*.md"))
    public = {name for name in clockmill.__all__ if not name.startswith("_")}
    assert sorted(name for name in public if not re.search(rf"\b{name}\b", pages)) == []


def test_every_key_of_the_subprocess_executor_is_told() -> None:
    page = (REFERENCE.parent / "howto" / "subprocess-executor.md").read_text()
    assert [name for name in launching.OPTIONS if f"\n| `{name}` |" not in page] == []
