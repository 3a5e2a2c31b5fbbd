"""Importing the package stays light; which module may import what is checked by the contracts in ``setup.cfg``."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["sqlalchemy", "flask", "celery", "jinja2", "croniter", "alembic", "click", "rich", "numpy", "pandas"]
#: What a zygote loads, each process that is forked from it pays for; this brings the whole of OpenSSL.
NOT_IN_A_ZYGOTE = ["_hashlib", "asyncio", "ssl"]


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
        "from clockmill.operators.trigger_dagrun import TriggerDagRunOperator",
        "from clockmill.sensors.external_task import ExternalTaskSensor",
        "from clockmill.sensors.filesystem import FileSensor",
        "import clockmill.runtime.zygote",
    ],
)
def test_what_a_dag_file_and_a_task_process_import_loads_nothing_heavy(statement: str) -> None:
    assert sorted(loaded_after(statement) & set(HEAVY)) == []


def test_celery_is_loaded_only_by_who_talks_to_a_broker() -> None:
    loaded = loaded_after(
        "import clockmill.executors.celery.executor, clockmill.executors.worker, clockmill.cli.celery"
    )
    assert sorted(loaded & {"celery", "kombu", "redis", "amqp"}) == []


def test_what_every_task_process_loads_stays_small() -> None:
    loaded = loaded_after(
        "from clockmill import DAG, task\n"
        "from clockmill.operators.python import PythonOperator\n"
        "import clockmill.runtime.zygote, clockmill.runtime.taskproc, clockmill.runtime.pipeline"
    )
    assert sorted(loaded & set(NOT_IN_A_ZYGOTE)) == []
