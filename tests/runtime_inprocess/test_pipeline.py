"""One attempt, run in this process."""

from __future__ import annotations

from typing import Any

from clockmill.protocols import Workload
from clockmill.runtime import pipeline

WORKLOAD = Workload(
    attempt_id="a",
    token="t",
    dag_id="d",
    run_id="r",
    task_id="x",
    bundle="",
    bundle_path="",
    file="",
    log_path="",
)


class Silent:
    """A channel that has nothing to tell."""

    def get_xcoms(self, **_: Any) -> list[tuple[str, int, str]]:
        return []

    def get_variable(self, key: str) -> str | None:
        return None

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        return None

    def started(self, at: str) -> None:
        pass


def test_a_file_that_cannot_be_loaded_fails_the_attempt_with_its_reason() -> None:
    def load() -> Any:
        raise ImportError("no module named 'sqlx'")

    report = pipeline.execute(WORKLOAD, load=load, channel=Silent())

    assert report.outcome == "failed"
    assert report.reason == "ImportError: no module named 'sqlx'"
    assert report.started_at is None
