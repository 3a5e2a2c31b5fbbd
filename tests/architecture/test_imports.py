"""Importing the package stays light, and third parties stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import clockmill

PACKAGE = Path(clockmill.__file__).parent

#: Which packages may import a third party, as folders or modules of ours.
HOMES = {
    "sqlalchemy": {"storage", "migrations"},
    "alembic": {"migrations"},
    "croniter": {"timetables"},
    "jinja2": {"templating", "webserver"},
    "flask": {"webserver"},
    "werkzeug": {"webserver"},
    "waitress": {"webserver"},
    "click": {"cli"},
    "rich": {"cli"},
    "celery": set(),
    "kombu": set(),
}
HEAVY = ["sqlalchemy", "flask", "celery", "jinja2", "croniter", "alembic", "click", "rich", "numpy", "pandas"]


def imports_of(path: Path) -> Iterator[str]:
    """The top names that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("third_party", sorted(HOMES))
def test_third_party_is_imported_only_at_home(third_party: str) -> None:
    users = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if third_party in imports_of(path)}
    assert [str(user) for user in sorted(users) if user.parts[0] not in HOMES[third_party]] == []


def loaded_after(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "from clockmill import DAG, task",
        "from clockmill.operators.python import PythonOperator",
        "from clockmill.operators.bash import BashOperator",
        "import clockmill.runtime.zygote",
    ],
)
def test_what_a_dag_file_and_a_task_process_import_loads_nothing_heavy(statement: str) -> None:
    assert sorted(loaded_after(statement) & set(HEAVY)) == []
