"""What a task process may say of its own end, whatever user code wrote to its socket."""

from __future__ import annotations

from typing import Any

import pytest

from clockmill.protocols import RunRequest
from clockmill.runtime.task_result import checked_result

REQUEST = RunRequest(dag_id="d", run_id="r", conf={"n": 1}, logical_date="2026-01-01T00:00:00+00:00").to_json()


def test_a_request_for_a_run_comes_through() -> None:
    assert checked_result({"outcome": "success", "run_requests": [REQUEST]})["run_requests"] == [REQUEST]


@pytest.mark.parametrize(
    "told",
    [
        {"run_requests": {}},
        {"run_requests": [3]},
        {"run_requests": [{}]},
        {"run_requests": [REQUEST | {"conf": []}]},
        {"run_requests": [REQUEST | {"dag_id": None}]},
        {"run_requests": [REQUEST | {"reset": 1}]},
        {"run_requests": [REQUEST | {"logical_date": "soon"}]},
        {"run_requests": [REQUEST | {"run_after": "0001-01-01T00:00:00+23:00"}]},
        {"run_requests": [REQUEST] * 101},
        {"started_at": "9999-12-31T23:00:00-23:00"},
        {"outcome": "rescheduled"},
        {"outcome": "deferred"},
        {"outcome": "lost"},
    ],
)
def test_what_nobody_could_act_on_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="its "):
        checked_result({"outcome": "success", **told})
