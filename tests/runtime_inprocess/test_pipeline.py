"""One attempt, run in this process: its steps, its ways to end, and what it reports."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from clockmill import DAG, BaseOperator, FailTask, RetryTask, SkipTask, get_current_context
from clockmill.errors import TaskGone, UsageError
from clockmill.protocols import AttemptReport, Workload, XComQuery
from clockmill.runtime import pipeline
from clockmill.testing import FakeClock
from clockmill.xcom import decode, encode

WORKLOAD = Workload(
    attempt_id="a",
    token="t",
    dag_id="d",
    run_id="manual__1",
    task_id="x",
    bundle="",
    bundle_path="",
    file="",
    log_path="",
    context={
        "dag_run": {"run_type": "manual", "logical_date": "2026-01-31T06:00:00.000000+00:00", "conf": {"n": 2}},
        "max_tries": 2,
    },
)


class Channel:
    """A channel that remembers what it was told and knows the XComs that it is given."""

    def __init__(self, *xcoms: tuple[str, int, Any]) -> None:
        self.rows = [(task_id, index, encode(value)) for task_id, index, value in xcoms]
        self.starts: list[str] = []
        self.asked: list[dict[str, Any]] = []

    def get_xcoms(self, query: XComQuery) -> list[tuple[str, int, str]]:
        self.asked.append(query.to_json())
        return [row for row in self.rows if query.task_ids is None or row[0] in query.task_ids]

    def get_previous_run(self) -> dict[str, str | None]:
        return {}

    def get_variable(self, key: str) -> str | None:
        return {"plain": "text", "listed": "[1]", "broken": "{"}.get(key)

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        return (
            {"conn_id": conn_id, "conn_type": "http", "host": "h", "password": "secret"} if conn_id == "api" else None
        )

    def started(self, at: str) -> None:
        self.starts.append(at)


class Does(BaseOperator):
    """Calls a function with its context."""

    template_fields = ("text",)

    def __init__(self, *, function: Callable[[Any], Any], text: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function
        self.text = text

    def execute(self, context: Any) -> Any:
        return self.function(context)


def attempt(
    function: Callable[[Any], Any],
    *,
    workload: Workload = WORKLOAD,
    channel: Channel | None = None,
    clock: FakeClock | None = None,
    test_mode: bool = True,
    **arguments: Any,
) -> AttemptReport:
    """The report of one attempt of a task that calls ``function``."""
    dag = DAG("d", params={"n": 1, "m": 1})
    Does(task_id="x", function=function, dag=dag, **arguments)
    Does(task_id="other", function=function, dag=dag)
    return pipeline.execute(
        workload, load=lambda: dag, channel=channel or Channel(), clock=clock or FakeClock(), test_mode=test_mode
    )


def raising(error: BaseException) -> Callable[[Any], Any]:
    """A function that raises ``error``."""

    def function(context: Any) -> Any:
        raise error

    return function


def test_a_success_reports_its_times_and_what_it_returned() -> None:
    clock, channel = FakeClock(datetime(2026, 1, 1, tzinfo=UTC)), Channel()
    report = attempt(lambda context: clock.advance(2) or {"a": (1,)}, clock=clock, channel=channel)
    assert report.outcome == "success"
    assert report.reason == ""
    assert report.started_at == "2026-01-01T00:00:00.000000+00:00"
    assert report.ended_at == "2026-01-01T00:00:02.000000+00:00"
    assert channel.starts == [report.started_at]
    assert [(key, decode(text)) for key, text in report.xcoms] == [("return_value", {"a": (1,)})]


@pytest.mark.parametrize("arguments", [{}, {"do_xcom_push": False}])
def test_nothing_is_pushed_for_none_or_when_not_wanted(arguments: dict[str, Any]) -> None:
    value = 1 if arguments else None
    assert attempt(lambda context: value, **arguments).xcoms == []


def test_what_a_coroutine_returns_is_waited_for() -> None:
    async def later() -> int:
        await asyncio.sleep(0)
        return 7

    assert attempt(lambda context: later()).xcoms == [("return_value", "7")]


def test_the_steps_come_in_their_order() -> None:
    seen: list[str] = []
    report = attempt(
        lambda context: seen.append(f"execute {context['task'].text}"),
        text="{{ ds }}",
        pre_execute=lambda context: seen.append("pre"),
        post_execute=lambda context, result: seen.append("post"),
        on_execute_callback=lambda context: seen.append("on_execute"),
        on_success_callback=lambda context: seen.append("on_success"),
    )
    assert report.outcome == "success"
    assert seen == ["pre", "on_execute", "execute 2026-01-31", "post", "on_success"]


# --- ways to end ----------------------------------------------------------------------------------------------------


def test_an_exception_fails_with_its_traceback_from_the_users_code_on(capsys: pytest.CaptureFixture[str]) -> None:
    report = attempt(lambda context: {}["nothing"])
    assert (report.outcome, report.reason) == ("failed", "KeyError: 'nothing'")
    assert report.xcoms == []
    log = capsys.readouterr().err
    assert "test_pipeline.py" in log
    assert "runtime/pipeline.py" not in log
    assert log.rstrip().endswith("KeyError: 'nothing'")


def test_the_causes_and_groups_of_an_exception_are_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    def function(context: Any) -> None:
        try:
            raise ValueError("first")
        except ValueError as error:
            raise ExceptionGroup("both", [KeyError("inner")]) from error

    assert attempt(function).reason == "ExceptionGroup: both (1 sub-exception)"
    log = capsys.readouterr().err
    assert "ValueError: first" in log
    assert "KeyError: 'inner'" in log


def test_a_long_reason_is_shortened_to_one_line() -> None:
    reason = attempt(raising(ValueError("a\nb" * 1000))).reason
    assert reason.startswith("ValueError: a ba b")
    assert len(reason) < 520


def test_an_exception_that_cannot_be_shown_still_fails() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert attempt(raising(Broken())).reason == "Broken: (its message cannot be shown: RuntimeError)"


@pytest.mark.parametrize("error", [GeneratorExit(), KeyboardInterrupt(), asyncio.CancelledError(), MemoryError()])
def test_no_exception_escapes(error: BaseException) -> None:
    report = attempt(raising(error), test_mode=False)
    assert (report.outcome, report.reason) == ("failed", type(error).__name__)


def test_the_author_interrupts_a_trial() -> None:
    with pytest.raises(KeyboardInterrupt):
        attempt(raising(KeyboardInterrupt()), test_mode=True)


def test_sys_exit_with_a_status_fails() -> None:
    report = attempt(lambda context: sys.exit(3))
    assert (report.outcome, report.reason, report.exit_code) == ("failed", "SystemExit: exit code 3", 3)
    assert attempt(lambda context: sys.exit("disk full")).reason == "SystemExit: disk full"


def test_sys_exit_without_a_fault_succeeds_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    for code in (0, None):
        report = attempt(lambda context, code=code: sys.exit(code))
        assert (report.outcome, report.reason, report.xcoms) == ("success", "", [])
        assert "returned no value" in capsys.readouterr().err


def test_the_task_chooses_how_it_ends() -> None:
    assert attempt(raising(SkipTask())).outcome == "skipped"
    assert attempt(raising(SkipTask("no data"))).reason == "no data"
    failed = attempt(raising(FailTask("bad key")))
    assert (failed.outcome, failed.reason, failed.no_retry) == ("failed", "FailTask: bad key", True)
    again = attempt(raising(RetryTask("later", after=timedelta(minutes=2))))
    assert (again.outcome, again.retry_after, again.no_retry) == ("failed", 120.0, False)
    assert attempt(raising(RetryTask())).retry_after is None
    with pytest.raises(UsageError, match="after must be a timedelta, not nan"):
        RetryTask("later", after=float("nan"))  # type: ignore[arg-type]


def test_an_attempt_that_is_over_stops_quietly() -> None:
    called: list[Any] = []
    report = attempt(raising(TaskGone("cleared")), on_failure_callback=called.append)
    assert (report.outcome, called) == ("stopped", [])


def test_a_file_that_cannot_be_loaded_fails_the_attempt_with_its_reason() -> None:
    for error, reason in (
        (ImportError("no module 'sqlx'"), "ImportError: no module 'sqlx'"),
        (SystemExit(0), "DagDefinitionError: The file of DAG 'd' raised SystemExit: 0 while it was loaded."),
        (SkipTask("x"), "DagDefinitionError: The file of DAG 'd' raised SkipTask: x while it was loaded."),
    ):
        report = pipeline.execute(WORKLOAD, load=lambda error=error: raising(error)(None), channel=Channel())
        assert (report.outcome, report.reason, report.started_at) == ("failed", reason, None)


def test_a_task_that_is_no_longer_in_the_file_fails() -> None:
    report = attempt(lambda context: 1, workload=replace(WORKLOAD, task_id="othr"))
    assert report.reason == "NotFound: There is no task 'othr'. Did you mean 'other'?"


def test_a_template_that_cannot_be_filled_fails_before_the_users_code() -> None:
    report = attempt(lambda context: 1, text="{{ execution_date }}")
    assert report.outcome == "failed"
    assert report.started_at is None
    assert "field 'text'" in report.reason
    assert "use logical_date" in report.reason


def test_a_failing_post_execute_fails_the_attempt_and_keeps_its_xcoms_back() -> None:
    report = attempt(lambda context: 1, post_execute=lambda context, result: 1 / 0)
    assert (report.outcome, report.xcoms) == ("failed", [])


# --- callbacks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "try_number", "expected"),
    [
        (ValueError(), 1, "retry"),
        (ValueError(), 2, "failure"),
        (FailTask(), 1, "failure"),
        (SkipTask(), 1, "skipped"),
    ],
)
def test_the_callback_of_the_ending_is_called(error: Exception, try_number: int, expected: str) -> None:
    seen: list[tuple[str, Any]] = []
    callbacks = {
        f"on_{name}_callback": lambda context, name=name: seen.append((name, context["exception"]))
        for name in ("retry", "failure", "skipped", "success")
    }
    attempt(raising(error), workload=replace(WORKLOAD, try_number=try_number), **callbacks)
    assert seen == [(expected, error)]


def test_a_callback_that_fails_changes_nothing_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    report = attempt(lambda context: 1, on_success_callback=[lambda context: 1 / 0, seen.append])
    assert report.outcome == "success"
    assert len(seen) == 1
    assert "on_success_callback failed:\nTraceback" in capsys.readouterr().err


# --- XComs ----------------------------------------------------------------------------------------------------------


def test_multiple_outputs_are_pushed_one_by_one_and_as_a_whole() -> None:
    report = attempt(lambda context: {"a": 1, "b": 2}, multiple_outputs=True)
    assert [key for key, _ in report.xcoms] == ["a", "b", "return_value"]


@pytest.mark.parametrize("result", [[1], {1: 2}, {"return_value": 1}])
def test_multiple_outputs_of_something_else_are_refused(result: Any) -> None:
    assert "multiple_outputs" in attempt(lambda context: result, multiple_outputs=True).reason


def test_too_large_a_value_fails_the_task_and_its_log_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    report = attempt(lambda context: "x" * 100, workload=replace(WORKLOAD, max_xcom_bytes=50))
    assert report.outcome == "failed"
    assert report.xcoms == []
    assert "XCom 'return_value' takes 102 bytes; [core] max_xcom_bytes allows 50" in capsys.readouterr().err


def test_a_value_that_cannot_be_stored_names_key_and_place() -> None:
    reason = attempt(lambda context: context["ti"].xcom_push("rows", [object()])).reason
    assert "SerializationError: XCom 'rows': value[0]: the type 'object' cannot be stored" in reason


@pytest.mark.parametrize("key", ["", "a" * 251, "a\0b", 5])
def test_a_key_that_is_no_key_is_refused(key: Any) -> None:
    assert "An XCom key is text" in attempt(lambda context: context["ti"].xcom_push(key, 1)).reason


def test_a_try_sees_what_it_pushed_itself() -> None:
    def function(context: Any) -> Any:
        ti = context["ti"]
        ti.xcom_push("k", 1)
        ti.xcom_push("k", 2)
        return [ti.xcom_pull(key="k"), ti.xcom_pull("x", "k"), ti.xcom_pull("x", "k", run_id="another")]

    assert decode(attempt(function).xcoms[-1][1]) == [2, 2, None]


def test_pulling_one_task_several_or_mapped_ones() -> None:
    channel = Channel(("a", -1, 1), ("a", -1, 99), ("b", 1, "second"), ("b", 0, "first"))

    def function(context: Any) -> Any:
        pull = context["ti"].xcom_pull
        return [
            pull("a"),
            pull("b"),
            pull(["b", "a", "c"]),
            pull("c", default="none"),
            pull(key="any"),
            pull("b", map_indexes=1),
        ]

    values = decode(attempt(function, channel=channel).xcoms[0][1])
    assert values == [1, ["first", "second"], [["first", "second"], 1, None], "none", 1, "second"]
    assert channel.asked[-1]["map_indexes"] == [1]


def test_branches_and_short_circuits_are_reported() -> None:
    assert attempt(lambda context: context["ti"].follow("other")).branch == ["other"]
    assert attempt(lambda context: context["ti"].follow(None)).branch == []
    assert attempt(lambda context: context["ti"].leave_out("direct")).skips == "direct"
    assert "no task of its DAG" in attempt(lambda context: context["ti"].follow("nowhere")).reason
    assert "'downstream' or 'direct'" in attempt(lambda context: context["ti"].leave_out("all")).reason


# --- the context ----------------------------------------------------------------------------------------------------


def test_the_context_holds_what_the_run_knows() -> None:
    def function(context: Any) -> Any:
        assert get_current_context() is context
        assert context["ti"] is context["task_instance"]
        assert context["params"] == {"n": 2, "m": 3}
        assert context["dag_run"].conf == {"n": 2}
        assert context["task_instance_key_str"] == "d__x__20260131"
        assert context["logical_date"] == datetime(2026, 1, 31, 6, tzinfo=UTC)
        assert context["ti"].start_date is not None
        assert context["ti"].log_url == "/dags/d/runs/manual__1/tasks/x?map_index=-1&try=1"
        assert (context["var"].value.plain, context["var"].json.listed) == ("text", [1])
        assert context["var"].value.get("gone", "default") == "default"
        assert context["conn"].api.host == "h"
        assert "secret" not in repr(context["conn"].api)
        assert context.get("nothing") is None
        return {**context}["ts_nodash"]

    report = attempt(function, params={"n": 0, "m": 3})
    assert (report.reason, report.xcoms) == ("", [("return_value", '"20260131T060000"')])


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda c: c["execution_date"], "The context has no 'execution_date' any more; use logical_date."),
        (lambda c: c["tomorrow_ds"], r"use macros.ds_add\(ds, 1\)"),
        (lambda c: c["runid"], "The context has no 'runid'. Did you mean 'run_id'"),
        (lambda c: c["ti"].execution_date, "use logical_date"),
        (lambda c: c["dag_run"].execution_date, "use logical_date"),
        (lambda c: c["data_interval_start"], "The run 'manual__1' has no data interval"),
        (lambda c: c["var"].value.gone, "There is no variable 'gone'"),
        (lambda c: c["var"].json.broken, "The variable 'broken' is no JSON"),
        (lambda c: c["conn"].gone, "There is no connection 'gone'"),
    ],
)
def test_what_is_not_there_says_what_to_use(ask: Callable[[Any], Any], answer: str) -> None:
    import re

    assert re.search(answer, attempt(ask).reason)


def test_a_run_without_a_logical_date_still_gives_a_function_everything_else() -> None:
    workload = replace(WORKLOAD, context={"dag_run": {"logical_date": None}})

    def function(context: Any) -> Any:
        assert "ds" not in {**context}
        return context["ds"]

    assert (
        "has no logical date, so there is no 'ds' in it; use dag_run.run_after"
        in attempt(function, workload=workload).reason
    )


# --- processes ------------------------------------------------------------------------------------------------------


def _in_child(function: Callable[[], int]) -> int:
    """Run ``function`` in a forked process; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(function())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_term_calls_on_kill_and_ends_the_process_by_the_signal(tmp_path: Path) -> None:
    class Killed(Does):
        def on_kill(self) -> None:
            (tmp_path / "cleaned").touch()

    def child() -> int:
        dag = DAG("d")
        Killed(
            task_id="x",
            dag=dag,
            function=lambda context: os.kill(os.getpid(), signal.SIGTERM),
            on_failure_callback=lambda context: (tmp_path / "called").touch(),
        )
        pipeline.execute(WORKLOAD, load=lambda: dag, channel=Channel())
        return 0

    assert _in_child(child) == -signal.SIGTERM
    assert (tmp_path / "cleaned").exists()
    assert not (tmp_path / "called").exists()


def test_term_after_the_time_limit_leaves_callbacks_to_a_process_of_their_own(tmp_path: Path) -> None:
    def child() -> int:
        clock = FakeClock()

        def function(context: Any) -> None:
            clock.advance(10)
            os.kill(os.getpid(), signal.SIGTERM)

        attempt(
            function,
            workload=replace(WORKLOAD, execution_timeout=5.0),
            clock=clock,
            test_mode=False,
            on_retry_callback=lambda context: (tmp_path / context["reason"]).touch(),
        )
        return 0

    assert _in_child(child) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_fork_that_comes_back_from_user_code_ends_there(tmp_path: Path) -> None:
    def child() -> int:
        def function(context: Any) -> None:
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)

        attempt(function)
        with (tmp_path / "ends").open("a") as file:
            file.write("end\n")
        return 0

    assert _in_child(child) == 0
    assert (tmp_path / "ends").read_text() == "end\n"
