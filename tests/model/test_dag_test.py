"""``dag.test()`` finds its runner by entry point."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from clockmill import DAG
from clockmill.errors import DagDefinitionError, UsageError
from clockmill.operators.empty import EmptyOperator


def install_runner(folder: Path, monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    """A distribution with an entry point, as an installer leaves it."""
    (folder / "runner_of_test.py").write_text("def run(dag, **options):\n    return dag, options\n")
    metadata = folder / "runner_of_test-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: runner-of-test\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[{group}]\ninprocess = runner_of_test:run\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.delitem(sys.modules, "runner_of_test", raising=False)


class Trial(DAG):
    """A DAG that looks for its runner where the test put one."""

    runner_group = "clockmill.dag_runners_of_test"


def test_the_runner_is_given_the_complete_dag_and_the_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_runner(tmp_path, monkeypatch, Trial.runner_group)
    dag = Trial("x")
    ran, options = dag.test(run_conf={"a": 1}, mark_success_pattern="load.*")
    assert ran is dag
    given: dict[str, Any] = {"run_conf": {"a": 1}, "mark_success_pattern": "load.*"}
    assert options == {"run_after": None, "logical_date": None, **given}


def test_without_a_runner_it_says_what_to_install() -> None:
    with pytest.raises(UsageError, match=r"clockmill\.dag_runners_of_test:inprocess is installed"):
        Trial("x").test()


def test_a_wrong_dag_is_refused_before_it_runs() -> None:
    with Trial("x") as dag:
        a = EmptyOperator(task_id="a")
        a >> a
    with pytest.raises(DagDefinitionError, match="cycle"):
        dag.test()
