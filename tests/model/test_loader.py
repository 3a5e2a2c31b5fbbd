"""Loading DAG files, good ones and bad ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

from clockmill import DAG
from clockmill.errors import DagDefinitionError
from clockmill.model.foreign import IMPORTS
from clockmill.model.loader import load_dags

Load = Callable[..., list[DAG]]
_numbers = count()


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Write a DAG file and load it; what that does to the interpreter is undone afterwards."""
    path_before, modules_before = list(sys.path), set(sys.modules)

    def write_and_load(source: str, name: str = "file.py", thorough: bool = True) -> list[DAG]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(source))
        return load_dags(path, f"dag_file_{next(_numbers)}", tmp_path, thorough=thorough)

    yield write_and_load
    sys.path[:] = path_before
    for module in set(sys.modules) - modules_before:
        del sys.modules[module]


def test_dags_in_variables_and_opened_dags_are_found_once_each(load: Load) -> None:
    dags = load("""\
        from clockmill import DAG, dag

        plain = DAG("plain")
        with DAG("opened_and_held") as held:
            pass

        def fill():
            with DAG("opened_only"):
                pass
            DAG("neither")
            with DAG("silent", auto_register=False):
                pass

        fill()

        @dag
        def decorated(): ...

        decorated()
    """)
    assert sorted(dag.dag_id for dag in dags) == ["decorated", "opened_and_held", "opened_only", "plain"]


def test_a_file_without_dags_gives_none(load: Load) -> None:
    assert load("x = 1") == []


def test_a_file_imports_helpers_from_the_root(load: Load, tmp_path: Path) -> None:
    (tmp_path / "helper_of_test.py").write_text("NAME = 'from_helper'\n")
    (dag,) = load("import helper_of_test\nfrom clockmill import DAG\nd = DAG(helper_of_test.NAME)\n", "sub/file.py")
    assert dag.dag_id == "from_helper"
    assert dag.folder == tmp_path / "sub"


def test_a_loaded_file_knows_its_own_place(load: Load, tmp_path: Path) -> None:
    (dag,) = load("from clockmill import DAG\nfrom pathlib import Path\nd = DAG(Path(__file__).stem)\n")
    assert dag.dag_id == "file"


def problem(load: Load, source: str) -> tuple[str, int | None]:
    with pytest.raises(DagDefinitionError) as raised:
        load(source)
    return str(raised.value), raised.value.line


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("x = 1\ndef broken(:\n", "Syntax error: invalid syntax", 2),
        ("x = 1\n\nx.nothing\n", "AttributeError: 'int' object has no attribute 'nothing'", 3),
        ("import sys\nsys.exit(3)\n", "The file ends the program (sys.exit)", 2),
        ("import no_such_module_at_all\n", "ModuleNotFoundError: No module named 'no_such_module_at_all'", 1),
        ("from clockmill import DAG\nDAG('a/b')\n", "may hold only letters", 2),
        ("from clockmill import DAG\nDAG('x' * 300)\n", "has 300 characters", 2),
        ("from clockmill import DAG\n\nd = DAG('x', schedule='no cron')\n", "no cron", 3),
        ("from clockmill import DAG\na = DAG('x')\nb = DAG('x')\n", "two DAGs with the id 'x', in lines 2 and 3", 3),
        ("from clockmill import DAG\nDAG('x', tagz=[])\n", "Did you mean 'tags'", 2),
        ("from clockmill import DAGG\n", "ImportError: cannot import name 'DAGG'", 1),
        ("x = '\0'", "null bytes", None),
    ],
)
def test_a_broken_file_says_what_is_wrong_and_where(load: Load, source: str, message: str, line: int | None) -> None:
    text, found = problem(load, source)
    assert message in text
    assert found == line


def test_a_cycle_says_where_its_dag_begins(load: Load) -> None:
    text, line = problem(
        load,
        """\
        from clockmill import DAG
        from clockmill.operators.empty import EmptyOperator

        with DAG("x"):
            a, b = EmptyOperator(task_id="a"), EmptyOperator(task_id="b")
            a >> b >> a
        """,
    )
    assert "has a cycle: a -> b -> a" in text
    assert line == 4


def test_a_mistake_deep_in_a_helper_names_the_line_of_the_dag_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "helper_that_fails.py").write_text("def make():\n    raise ValueError('no data')\n")
    text, line = problem(load, "import helper_that_fails\n\nhelper_that_fails.make()\n")
    assert (text, line) == ("ValueError: no data", 3)


def test_a_syntax_error_of_a_helper_names_the_helper(load: Load, tmp_path: Path) -> None:
    (tmp_path / "helper_with_typo.py").write_text("x = 1\ny = = 2\n")
    text, line = problem(load, "\nimport helper_with_typo\n")
    assert text.startswith("Syntax error in helper_with_typo.py, line 2")
    assert line == 2


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DagDefinitionError, match="cannot be read: No such file"):
        load_dags(tmp_path / "gone.py", "gone", tmp_path)


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("from airflow import DAG", "Use 'from clockmill import DAG'."),
        (
            "from airflow.operators.python import PythonOperator, BranchPythonOperator as B",
            "Use 'from clockmill.operators.python import PythonOperator'. "
            "Use 'from clockmill.operators.python import BranchPythonOperator'.",
        ),
        ("from airflow.decorators import (task, dag)", "Use 'from clockmill import task'."),
        (
            "from airflow.operators.dummy import DummyOperator",
            "Use 'from clockmill.operators.empty import EmptyOperator', which takes the place of DummyOperator.",
        ),
        ("from airflow.exceptions import AirflowSkipException", "Use 'from clockmill import SkipTask'"),
        (
            "from airflow.providers.standard.sensors.external_task import ExternalTaskSensor",
            "Use 'from clockmill.sensors.external_task import ExternalTaskSensor'.",
        ),
        ("from airflow.utils.dates import days_ago  # old", "There is no days_ago. Give a fixed start_date"),
        ("from airflow.providers.x import BashOperater", "the nearest is 'from clockmill.operators.bash import"),
        ("from airflow.providers.x import Zzz", "There is no Zzz."),
        ("import airflow", "(import airflow): write 'from clockmill import DAG, task'"),
    ],
)
def test_an_import_of_airflow_is_answered_with_the_import_to_use(load: Load, source: str, advice: str) -> None:
    text, line = problem(load, f"x = 1\n{source}\n")
    assert text.startswith("Airflow is not available here (")
    assert advice in text
    assert line == 2


@pytest.mark.parametrize(("module", "name"), sorted(set(IMPORTS.values())))
def test_every_import_that_is_recommended_works(module: str, name: str) -> None:
    assert getattr(import_module(module), name)


def test_a_quick_load_leaves_out_what_only_the_scheduler_needs(load: Load) -> None:
    (dag,) = load("from clockmill import DAG\nd = DAG('x', schedule='no cron')\n", thorough=False)
    assert dag.dag_id == "x"


def test_a_broken_file_leaves_no_module_behind(load: Load) -> None:
    before = set(sys.modules)
    problem(load, "1 / 0")
    assert {name for name in set(sys.modules) - before if name.startswith("dag_file")} == set()
