"""Shell commands as tasks, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from clockmill import DAG, SkipTask, task
from clockmill.errors import UsageError
from clockmill.operators.bash import BashOperator, CommandFailed
from clockmill.testing.bench import await_end


def run(command: str, **arguments: Any) -> Any:
    return BashOperator(task_id="a", bash_command=command, **arguments).execute({})


def test_the_last_line_is_the_result_and_all_lines_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("echo one; echo two >&2; printf three") == "three"
    assert capsys.readouterr().out == "one\ntwo\nthree"


@pytest.mark.parametrize(
    ("command", "result"),
    [("true", ""), ("echo a; echo", "a"), ("printf 'a\\r\\nb\\r\\n'", "b"), ("printf 'ü\\n'", "ü")],
)
def test_the_result_is_the_last_line_that_is_not_empty(command: str, result: str) -> None:
    assert run(command) == result


def test_a_long_output_in_one_line_is_read_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(run("head -c 3000000 /dev/zero | tr '\\0' x")) == 3_000_000
    capsys.readouterr()


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert run("printf '\\xff'") == "\ufffd"


def test_the_output_processor_makes_the_result() -> None:
    assert run("echo 41", output_processor=lambda line: int(line) + 1) == 42


def test_a_failed_command_raises_with_its_code() -> None:
    with pytest.raises(CommandFailed, match="ended with exit code 3") as failed:
        run("exit 3")
    assert failed.value.status == 3


def test_a_killed_command_names_the_signal() -> None:
    with pytest.raises(CommandFailed, match="ended by signal 9 \\(SIGKILL\\)"):
        run("kill -KILL $$")


@pytest.mark.parametrize(
    ("code", "given"), [(99, {}), (7, {"skip_on_exit_code": 7}), (8, {"skip_on_exit_code": [7, 8]})]
)
def test_some_exit_codes_mean_to_skip(code: int, given: dict[str, Any]) -> None:
    with pytest.raises(SkipTask, match=f"exit code {code}"):
        run(f"exit {code}", **given)


def test_no_exit_code_means_to_skip_when_none_is_given() -> None:
    with pytest.raises(CommandFailed):
        run("exit 99", skip_on_exit_code=None)


def test_the_environment_is_replaced_or_added_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTER", "outer")
    assert run("echo $OUTER-$MINE", env={"MINE": "mine"}) == "-mine"
    assert run("echo $OUTER-$MINE", env={"MINE": "mine"}, append_env=True) == "outer-mine"
    assert run("echo $OUTER") == "outer"


def test_the_marks_of_the_attempt_are_always_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTEMPT_ID", "abc")
    assert run("echo $ATTEMPT_ID", env={"ATTEMPT_ID": "other"}) == "abc"


def test_the_command_runs_in_a_folder_of_its_own_or_the_one_given(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    assert run("ls", cwd=str(tmp_path)) == "here"
    folder = run("pwd")
    assert not Path(folder).exists()
    with pytest.raises(UsageError, match="the folder '/no/such', given as cwd"):
        run("ls", cwd="/no/such")


@pytest.mark.parametrize("command", ["", "  ", None, 3])
def test_no_command_is_refused(command: Any) -> None:
    with pytest.raises(UsageError, match="bash_command must be a command"):
        run(command)


def test_the_command_leads_its_own_process_group() -> None:
    group = run("ps -o pgid= -p $$; echo $$")
    assert int(group) != os.getpgid(0)


def test_what_a_command_leaves_running_neither_holds_up_the_task_nor_survives_it() -> None:
    pid = int(run("sleep 1000 & echo $!"))
    await_end(pid)


def test_the_command_dies_with_the_task(tmp_path: Path) -> None:
    told = tmp_path / "pid"
    os.mkfifo(told)
    program = dedent(f"""
        from clockmill.operators.bash import BashOperator
        BashOperator(task_id="a", bash_command="echo $$ > {told}; exec sleep 1000").execute({{}})
    """)
    child = subprocess.Popen([sys.executable, "-c", program])
    pid = int(told.read_text())
    child.kill()
    child.wait()
    await_end(pid)


def test_on_kill_stops_the_command(tmp_path: Path) -> None:
    class Killed(BashOperator):
        def execute(self, context: Any) -> Any:
            signal.signal(signal.SIGALRM, lambda *_: self.on_kill())
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            return super().execute(context)

    with pytest.raises(CommandFailed, match="signal 15"):
        Killed(task_id="a", bash_command="sleep 1000").execute({})


def test_a_command_that_is_told_to_stop_while_it_begins_stops_as_well() -> None:
    operator = BashOperator(task_id="a", bash_command="sleep 1000")
    operator.on_kill()
    with pytest.raises(CommandFailed, match="signal 15"):
        operator.execute({})


def test_a_decorated_function_returns_the_command() -> None:
    with DAG("x") as dag:

        @task.bash(env={"WHO": "world"})
        def greet(greeting: str, run_id: str) -> str:
            return f"echo {greeting} $WHO in {run_id} of {{{{ ds }}}}"

        greet("hello")
    assert dag.get_task("greet").execute({"run_id": "r", "ds": "2024-01-01"}) == "hello world in r of 2024-01-01"
