"""Executors are chosen by what the configuration says; what is wrong with that is told with the nearest name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from clockmill.errors import ConfigError
from clockmill.executors import registry
from clockmill.executors.local import LocalExecutor


@pytest.fixture(autouse=True)
def offered(monkeypatch):
    """Entry points as an installed package has them."""
    points = EntryPoints(
        [
            EntryPoint("local", "clockmill.executors.local:LocalExecutor", registry.GROUP),
            EntryPoint("broken", "no_such_module:Executor", registry.GROUP),
        ]
    )
    monkeypatch.setattr(registry, "installed", lambda: points)


@pytest.mark.parametrize(
    "target", ["local", "clockmill.executors.local:LocalExecutor", "clockmill.executors.local.LocalExecutor"]
)
def test_an_executor_is_found_by_its_name_and_by_where_its_class_is(target):
    assert registry.load(target) is LocalExecutor


def test_several_are_chosen_with_commas_and_the_first_is_the_default():
    text = "local, second:local ,batch:my_pkg.mod:MyExecutor,other:my_pkg.mod.MyExecutor"
    assert list(registry.chosen(text).items()) == [
        ("local", "local"),
        ("second", "local"),
        ("batch", "my_pkg.mod:MyExecutor"),
        ("other", "my_pkg.mod.MyExecutor"),
    ]


@pytest.mark.parametrize("text", ["", "local,", "local,,second:local", "batch:", ":local", "my_pkg.mod:Mine", "a b"])
def test_what_names_no_executor_is_refused(text):
    with pytest.raises(ConfigError, match=r"\[core\] executor: '.*' names no executor; write local, or my_name:my_pac"):
        registry.chosen(text)


def test_a_name_cannot_be_given_twice():
    with pytest.raises(ConfigError, match=r"names 'local' twice; give one of them a name of its own"):
        registry.chosen("local,local")


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("locl", r"There is no executor 'locl'\. Did you mean 'local'\? Installed: broken, local;"),
        ("broken", r"'broken' \(no_such_module:Executor\) cannot be loaded: ModuleNotFoundError"),
        ("clockmill.executors.locl:LocalExecutor", r"cannot be loaded: ModuleNotFoundError: No module named 'clock"),
        ("clockmill.executors.local:LocalExecuter", r"no class 'LocalExecuter'\. Did you mean 'LocalExecutor'\?"),
        ("LocalExecutor", r"There is no executor 'LocalExecutor'\. Did you mean 'local'\?"),
        ("airflow.executors.local_executor.LocalExecutor", r"No module named 'airflow'\. Did you mean 'local'\?"),
        ("clockmill.executors.local:launch", r"clockmill\.executors\.local has no class 'launch'"),
        (
            "clockmill.executors.setup:ExecutorSetup",
            r"setup:ExecutorSetup' is none: the class has no start, free_slots",
        ),
    ],
)
def test_an_executor_that_cannot_be_had_is_named(target, told):
    with pytest.raises(ConfigError, match=told):
        registry.load(target)


def test_a_module_that_ends_the_program_when_it_is_imported_is_named(tmp_path, monkeypatch):
    (tmp_path / "executor_that_exits.py").write_text("import sys\nsys.exit('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    told = r"cannot be loaded: executor_that_exits calls sys\.exit\('no licence'\) when it is imported\."
    with pytest.raises(ConfigError, match=told):
        registry.load("executor_that_exits:Executor")
