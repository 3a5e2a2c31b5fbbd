"""An edit to what a file depends on reparses it; an edit to anything else does not."""

from __future__ import annotations

from typing import Any

import pytest

DAG = "from clockmill import DAG\n"

#: what the DAG file says, and what it thereby depends on
WAYS = [
    ("import helper\n", "helper.py"),
    ("from package import helper\n", "package/helper.py"),
    ("def task():\n    import helper\n", "helper.py"),
    ("def task():\n    from package.helper import x\n", "package/helper.py"),
    ("from package.user import y\n", "package/helper.py"),
    ("import os\nopen(os.path.join(os.path.dirname(__file__), 'sql/query.sql')).read()\n", "sql/query.sql"),
    ("TEMPLATE = 'sql/query.sql'\n", "sql/query.sql"),
    ("from pathlib import Path\nPATH = Path(__file__).parent / 'sql' / 'query.sql'\n", "sql/query.sql"),
    ("try:\n    open(__file__ + '.cfg')\nexcept OSError:\n    pass\n", "user.py.cfg"),
    (
        "import os\nroot = os.path.dirname(__file__)\nfor name in sorted(os.listdir(root + '/tables')):\n    pass\n",
        "tables/new.yaml",
    ),
    ("from pathlib import Path\nlist((Path(__file__).parent / 'tables').glob('*.yaml'))\n", "tables/new.yaml"),
]


@pytest.fixture
def folder(station: Any) -> Any:
    station.write("helper.py", "x = 1\n")
    station.write("package/__init__.py", "")
    station.write("package/helper.py", "x = 1\n")
    station.write("package/user.py", "def y():\n    from . import helper\n")
    station.write("sql/query.sql", "SELECT 1")
    station.write("tables/one.yaml", "a: 1")
    station.write("unrelated.txt", "1")
    return station


@pytest.mark.parametrize(("source", "dependency"), WAYS, ids=[source for source, _ in WAYS])
def test_an_edit_of_what_a_file_uses_makes_a_version_and_of_nothing_else(
    folder: Any, source: str, dependency: str
) -> None:
    folder.write("user.py", f"{DAG}{source}dag = DAG('user')\n")
    folder.look()
    parsed = "SELECT parsed_at FROM parsed_file WHERE file = 'user.py'"
    first = folder.rows(parsed)
    folder.clock.advance(10)
    folder.write("unrelated.txt", "2")
    folder.write("another.py", f"{DAG}dag = DAG('another')\n")
    folder.look()
    assert folder.rows(parsed) == first
    folder.write(dependency, "z = 2\n")
    folder.look()
    assert folder.rows(parsed) != first


def test_a_helper_is_code_of_the_dags_that_use_it(folder: Any) -> None:
    folder.write("user.py", f"{DAG}import helper\ndag = DAG('user')\n")
    folder.write("other.py", f"{DAG}dag = DAG('other')\n")
    folder.look()
    folder.write("helper.py", "x = 2\n")
    folder.look()
    assert (folder.versions("user"), folder.versions("other")) == (2, 1)


def test_a_file_that_failed_for_want_of_another_is_parsed_again_when_that_appears(folder: Any) -> None:
    folder.write("user.py", f"{DAG}import to_come\ndag = DAG('user')\n")
    folder.look()
    assert "to_come" in folder.errors()["user.py"]
    folder.write("to_come.py", "")
    folder.look()
    assert folder.errors() == {}
    assert folder.active() == ["user"]


def test_files_outside_of_the_folder_are_nobodys_dependency(folder: Any) -> None:
    folder.write(
        "user.py", f"{DAG}import json, os\nopen('/etc/hostname').close()\nos.listdir('/')\ndag = DAG('user')\n"
    )
    folder.look()
    ((needs,),) = folder.rows("SELECT dependencies FROM parsed_file WHERE file = 'user.py'")
    assert '"files": ["user.py"], "folders": []' in needs
