"""Callbacks of a DAG in ``dag.test()``."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from clockmill import DAG, BaseNotifier, task


class Note(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def notify(self, context: Any) -> None:
        sys.stdout.write(f"{self.text}\n")


@pytest.mark.parametrize(("fails", "said"), [(False, "good: success"), (True, "bad: task_failure: work failed")])
def test_the_callbacks_of_a_run_are_called_when_a_dag_is_tried_out(
    fails: bool, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with DAG(
        "d",
        on_success_callback=Note("good: {{ reason }}"),
        on_failure_callback=[lambda context: 1 / 0, Note("bad: {{ reason }} {{ dag_run.state }}")],
    ) as dag:

        @task
        def work() -> None:
            if fails:
                raise ValueError("x")

        work()
    assert dag.test().state == ("failed" if fails else "success")
    assert said in capsys.readouterr().out.splitlines()
