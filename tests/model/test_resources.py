"""What authors say of resources, and what becomes of it."""

from __future__ import annotations

import pytest

from clockmill import DAG, task
from clockmill.errors import DagDefinitionError
from clockmill.operators.bash import BashOperator
from clockmill.serde import decode, dumps, encode


def test_what_a_task_asks_for_replaces_what_default_args_say() -> None:
    with DAG("d", schedule=None, default_args={"resources": {"cpu": 1}}) as dag:
        BashOperator(task_id="by_default", bash_command="true")
        BashOperator(task_id="more", bash_command="true", resources={"memory": "4GB", "gpu": 1})
        BashOperator(task_id="nothing", bash_command="true", resources=None)
        BashOperator.partial(task_id="mapped", resources={"cpu": 0.5}).expand(bash_command=["true"])
    document = decode(dumps(encode(dag)))
    assert {each.task_id: each.resources for each in document.tasks} == {
        "by_default": {"cpu": 1},
        "more": {"gpu": 1, "memory": 4 << 30},
        "nothing": {},
        "mapped": {"cpu": 0.5},
    }


def test_what_cannot_be_understood_names_the_task() -> None:
    with DAG("d", schedule=None), pytest.raises(DagDefinitionError) as caught:
        task(task_id="big", resources={"memory": 4096})(lambda: None)()
    assert str(caught.value).endswith(
        "'big': resources has 4096 of memory: say it with a unit, such as '512MB' or '4GB'."
    )
