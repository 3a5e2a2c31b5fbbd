"""The example package with an executor: installed as any package, it runs a task of a real scheduler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_end_to_end import eventually

pytestmark = [pytest.mark.timeout(180), pytest.mark.fault]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "clockmill-executor-nice"
DAG_FILE = """
import os
from clockmill import DAG, task

with DAG("mixed", schedule=None):

    @task(executor="nice")
    def gives_way():
        return os.nice(0)

    @task
    def does_not(other):
        print("niceness", other - os.nice(0))

    does_not(gives_way())

with DAG("refused", schedule=None, executor="nise"):
    task(task_id="t")(print)()
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in, without a network."""
    folder = tmp_path_factory.mktemp("package")
    source = shutil.copytree(EXAMPLE, folder / "source")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site"), str(source)]
    subprocess.run(command, check=True, env=os.environ | {"PIP_ROOT_USER_ACTION": "ignore"})
    return folder / "site"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, in this process and in those that it starts."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", f"{site}:{ROOT}")


@pytest.mark.usefixtures("installed")
def test_an_executor_of_another_package_runs_the_tasks_that_name_it(program: Any, start: Callable[..., Any]) -> None:
    (program.home / "clockmill.toml").write_text('[core]\nexecutor = "local,nice"\n[executor.nice]\nniceness = 7\n')
    (program.home / "dags" / "mixed.py").write_text(DAG_FILE)
    start(home=program.home).ready()
    eventually(lambda: program.json("dags", "list"))
    program.ok("dags", "trigger", "mixed", "--run-id", "one", "--wait")
    assert "niceness 7" in program.ok("tasks", "logs", "mixed", "one", "does_not")
    (error,) = program.json("dags", "list-import-errors")
    assert "there is no executor 'nise'. Did you mean 'nice'?" in error["message"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[core]\nexecutor = "local,nise"\n', "There is no executor 'nise'. Did you mean 'nice'?"),
        ('[core]\nexecutor = "nice"\n[executor.nice]\nnicenes = 3\n', "[executor.nice] has no option 'nicenes'."),
        ('[core]\nexecutor = "nice"\n[executor.nise]\nslots = 3\n', "[executor.nise] is about no executor"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_what_is_wrong_with_an_executor_ends_the_program_at_its_start(program: Any, text: str, told: str) -> None:
    (program.home / "clockmill.toml").write_text(text)
    assert told in program.refused("scheduler")


def test_its_own_tests_can_be_run(site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{site}:{ROOT}")
    chosen = ["-k", "runs_an_attempt or give_way or niceness", "-p", "no:cacheprovider", "-p", "no:randomly"]
    command = [sys.executable, "-m", "pytest", "-q", *chosen, str(site.with_name("source") / "tests")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
