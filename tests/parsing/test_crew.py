"""What a DAG file can do to the process that imports it, and what its author is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from clockmill.host.processes import children_of
from clockmill.parsing.crew import ParsingCrew
from clockmill.parsing.results import FileError, ParseResult

GOOD = "from clockmill import DAG\ndag = DAG('good')\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.fixture
def crew() -> Iterator[ParsingCrew]:
    crew = ParsingCrew(2, timeout=20, memory_mb=256, max_document_mb=1)
    before = children_of(os.getpid())
    yield crew
    crew.stop()
    assert not children_of(os.getpid()) - before


@pytest.fixture
def parse(root: Path, crew: ParsingCrew) -> Callable[..., dict[str, ParseResult]]:
    """Write files, parse those that are Python, give the results by file."""

    def parse_files(**sources: str) -> dict[str, ParseResult]:
        files = {f"{name}.py": source for name, source in sources.items()}
        for path, source in files.items():
            (root / path).write_text(source)
        return {result.file: result for result in crew.parse(root, sorted(files), lambda: False)}

    return parse_files


def only_error(result: ParseResult) -> FileError:
    assert result.dags == ()
    assert len(result.errors) == 1
    return result.errors[0]


FAULTS = [
    ("from clockmill import DAG\ndef broken(:\n", 2, "Syntax error: invalid syntax"),
    ("def broken(:\n", 1, "Syntax error"),
    ("import clockmill\n\nraise RuntimeError('no luck')\n", 3, "RuntimeError: no luck"),
    ("import clockmill\nimport sys\nsys.exit(3)\n", 3, "sys.exit"),
    ("import clockmill\nimport os\nos._exit(3)\n", None, "exit code 3"),
    ("import clockmill, os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", None, "signal 11"),
    ("import clockmill\nx = bytearray(1 << 40)\n", 2, "more than 256 MiB"),
    ("import clockmill\nx = []\nwhile True:\n    x.append(' ' * 1000000)\n", 4, "more than 256 MiB"),
    ("import clockmill\nclass Odd(BaseException): pass\nraise Odd('odd')\n", 3, "Odd: odd"),
    ("import clockmill\ndef f(): f()\nf()\n", None, "RecursionError"),
    ("from airflow import DAG\n", 1, "from clockmill import DAG"),
    ("from clockmill import DAG\nDAG('../up')\n", 2, "'../up'"),
    ("from clockmill import DAG\nDAG('x' * 300)\n", 2, "300 characters"),
    ("from clockmill import DAG\nd = DAG('a', schedule='61 * * * *')\n", 2, "'61 * * * *' is not valid"),
    ("from clockmill import DAG\nd = DAG('a', shedule='@daily')\n", 2, "schedule"),
    (
        "from clockmill import DAG\nfrom clockmill.operators.empty import EmptyOperator\n"
        "with DAG('a') as d:\n    a, b = EmptyOperator(task_id='a'), EmptyOperator(task_id='b')\n    a >> b >> a\n",
        None,
        "cycle",
    ),
    ("import clockmill\nimport no_such_module\n", 2, "no_such_module"),
    ("import clockmill\nraise RuntimeError('x' * 100_000)\n", 2, "RuntimeError: xxx"),
    ("import clockmill\nraise RuntimeError('a\\0b\\udcff')\n", 2, "a\\0b\\udcff"),
]


@pytest.mark.parametrize(("source", "line", "words"), FAULTS, ids=[words for *_, words in FAULTS])
def test_a_faulty_file_is_told_and_its_neighbour_is_unharmed(
    parse: Callable[..., dict[str, ParseResult]], source: str, line: int | None, words: str
) -> None:
    results = parse(faulty=source, good=GOOD)
    error = only_error(results["faulty.py"])
    assert words in error.message
    assert len(error.message) < 5000
    if line is not None:
        assert error.line == line
    assert [dag.dag_id for dag in results["good.py"].dags] == ["good"]


def test_an_endless_loop_ends_at_the_time_limit(root: Path) -> None:
    crew = ParsingCrew(2, timeout=2, memory_mb=256, max_document_mb=1)  # in which the others come to their end
    (root / "helper.py").write_text("WAIT = True\n")
    (root / "loop.py").write_text("import clockmill\nfrom helper import WAIT\nwhile WAIT: pass\n")
    (root / "good.py").write_text(GOOD)
    good, loop = crew.parse(root, ["good.py", "loop.py"], lambda: False)
    crew.stop()
    assert "not imported within 2 s" in only_error(loop).message
    assert "parse_timeout_seconds" in only_error(loop).message
    assert only_error(loop).line == 3
    assert set(loop.dependencies.files) >= {"helper.py", "loop.py"}
    assert not loop.dependencies.whole  # or it would hold the others up whenever anything changes
    assert good.dags


def test_a_file_that_swallows_the_time_limit_is_ended_all_the_same(root: Path) -> None:
    crew = ParsingCrew(1, timeout=0.3, memory_mb=256, max_document_mb=1)
    (root / "stubborn.py").write_text(
        "import clockmill\nwhile True:\n    try:\n        while True: pass\n    except BaseException: pass\n"
    )
    (result,) = crew.parse(root, ["stubborn.py"], lambda: False)
    crew.stop()
    assert "not imported within 0.3 s" in only_error(result).message


def test_code_that_ignores_signals_and_leaves_processes_behind_is_killed_with_them(root: Path, tmp_path: Path) -> None:
    crew = ParsingCrew(1, timeout=2, memory_mb=256, max_document_mb=1)
    (root / "stubborn.py").write_text(
        "import clockmill, os, signal, time\n"
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)\n"
        f"if os.fork() == 0:\n    os.setsid()\n    open({str(tmp_path / 'stray')!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "time.sleep(600)\n"
    )
    (result,) = crew.parse(root, ["stubborn.py"], lambda: False)
    crew.stop()
    assert only_error(result)
    stray = (tmp_path / "stray").read_text()
    assert not Path(f"/proc/{stray}").exists()


def test_a_file_that_forks_gives_one_result(parse: Callable[..., dict[str, ParseResult]]) -> None:
    results = parse(forking=f"import os\nos.fork()\n{GOOD}")
    assert [dag.dag_id for dag in results["forking.py"].dags] == ["good"]


def test_a_file_that_kills_the_parsing_process_is_told_and_no_other_is_blamed(root: Path, crew: ParsingCrew) -> None:
    (root / "bad.py").write_text("import clockmill, os, time\nos.kill(os.getppid(), 9)\ntime.sleep(60)\n")
    (root / "good.py").write_text(GOOD)
    bad, good = crew.parse(root, ["bad.py", "good.py"], lambda: False)
    assert "killed or stopped the parsing process" in only_error(bad).message
    assert [dag.dag_id for dag in good.dags] == ["good"]


def test_a_parsing_process_that_is_killed_once_is_replaced(root: Path, tmp_path: Path, crew: ParsingCrew) -> None:
    mark = tmp_path / "mark"
    (root / "once.py").write_text(
        f"import os, pathlib, time\nmark = pathlib.Path({str(mark)!r})\n"
        f"if not mark.exists():\n    mark.touch()\n    os.kill(os.getppid(), 9)\n    time.sleep(60)\n{GOOD}"
    )
    (once,) = crew.parse(root, ["once.py"], lambda: False)
    assert [dag.dag_id for dag in once.dags] == ["good"]


def test_no_file_is_blamed_for_a_parsing_process_that_takes_long_to_begin(
    root: Path, crew: ParsingCrew, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, slow, looks = root / "gate", root / "python", count()
    os.mkfifo(gate)
    slow.write_text(f'#!/bin/sh\nread _ <"{gate}"\nexec "{sys.executable}" "$@"\n')
    slow.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(slow))
    monkeypatch.setattr("clockmill.parsing.crew._SILENCE_SECONDS", -20.0)  # one that has begun may not be silent

    def is_stopped() -> bool:
        if next(looks) == 3:
            monkeypatch.undo()
            gate.write_text("\n")
        return False

    (root / "good.py").write_text(GOOD)
    (good,) = crew.parse(root, ["good.py"], is_stopped)
    assert [dag.dag_id for dag in good.dags] == ["good"]


def test_a_file_that_stops_the_parsing_process_is_told_and_no_other_waits_for_ever(root: Path) -> None:
    (root / "bad.py").write_text("import clockmill, os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\n")
    (root / "good.py").write_text(GOOD)
    crew = ParsingCrew(2, timeout=2, memory_mb=256, max_document_mb=1)
    bad, good = crew.parse(root, ["bad.py", "good.py"], lambda: False)
    crew.stop()
    assert "stopped the parsing process" in only_error(bad).message
    assert [dag.dag_id for dag in good.dags] == ["good"]


def test_what_a_file_left_behind_is_gone_with_a_parsing_process_that_was_killed(root: Path, crew: ParsingCrew) -> None:
    left = root / "left"
    os.mkfifo(left)
    (root / "daemon.py").write_text(
        "import clockmill, os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        os.set_inheritable(os.open({str(left)!r}, os.O_WRONLY), True)\n"
        "        os.execvpe('sleep', ['sleep', '600'], {})\n    os._exit(0)\n"
        "os.wait()\nos.kill(os.getppid(), 9)\ntime.sleep(600)\n"
    )
    reader = os.open(left, os.O_RDONLY | os.O_NONBLOCK)
    (result,) = crew.parse(root, ["daemon.py"], lambda: False)
    assert "killed" in only_error(result).message
    assert os.read(reader, 1) == b""  # nobody holds the other end
    os.close(reader)


def test_a_value_that_json_does_not_know_is_told_with_dag_task_and_argument(
    parse: Callable[..., dict[str, ParseResult]],
) -> None:
    results = parse(
        odd="from clockmill import DAG\nfrom clockmill.operators.empty import EmptyOperator\n"
        "with DAG('odd') as d:\n    EmptyOperator(task_id='t', executor_config={'x': object()})\n"
        "with DAG('fine') as e:\n    EmptyOperator(task_id='t')\n"
    )["odd.py"]
    assert [dag.dag_id for dag in results.dags] == ["fine"]
    (error,) = results.errors
    assert error.dag_id == "odd"
    assert "'odd'" in error.message and "'t'" in error.message and "executor_config" in error.message
    assert not results.is_broken


def test_a_document_that_is_too_large_is_refused_with_its_size(parse: Callable[..., dict[str, ParseResult]]) -> None:
    results = parse(large="from clockmill import DAG\nd = DAG('large', doc_md='x' * 2_000_000)\n")
    error = only_error(results["large.py"])
    assert "1.9 MiB" in error.message
    assert "max_document_mb" in error.message


def test_a_list_with_more_elements_than_a_task_may_have_instances_is_refused(
    parse: Callable[..., dict[str, ParseResult]],
) -> None:
    results = parse(
        wide="from clockmill import DAG, task\nwith DAG('wide'):\n"
        "    task(task_id='t')(lambda x: x).expand(x=[0] * 10_001)\n"
    )
    assert "task 't' is mapped over 10,001 elements; [core] max_map_length" in only_error(results["wide.py"]).message


def test_text_that_not_every_database_can_store_is_refused(parse: Callable[..., dict[str, ParseResult]]) -> None:
    results = parse(
        nul="from clockmill import DAG\nd = DAG('nul', description='a\\0b')\n",
        half="from clockmill import DAG\nd = DAG('half', doc_md='\\ud800')\n",
        fine="from clockmill import DAG\nd = DAG('fine', doc_md=r'\\u0000 and \\\\u0000')\n",
    )
    assert "NUL character" in only_error(results["nul.py"]).message
    assert "no valid Unicode" in only_error(results["half.py"]).message
    assert [dag.dag_id for dag in results["fine.py"].dags] == ["fine"]


def test_the_traceback_is_that_of_the_authors_code(parse: Callable[..., dict[str, ParseResult]]) -> None:
    results = parse(
        helper="def fail():\n    raise ValueError('deep')\n", user="import clockmill\nfrom helper import fail\nfail()\n"
    )
    error = only_error(results["user.py"])
    assert error.line == 3
    assert 'File "user.py", line 3' in error.traceback
    assert 'File "helper.py", line 2' in error.traceback
    assert "clockmill/model" not in error.traceback


def test_a_script_that_has_nothing_to_do_with_dags_is_never_run(
    parse: Callable[..., dict[str, ParseResult]], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    result = parse(script=f"open({str(mark)!r}, 'w')\n")["script.py"]
    assert result.errors == () and result.dags == ()
    assert not mark.exists()


def test_settings_of_the_service_are_not_in_the_environment(
    parse: Callable[..., dict[str, ParseResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOCKMILL__DATABASE__URL", "postgresql://secret")
    monkeypatch.setenv("OF_THE_AUTHOR", "seen")
    result = parse(env="import os\nfrom clockmill import DAG\nd = DAG('e', description=str(sorted(os.environ)))\n")
    document = result["env.py"].dags[0].document
    assert "OF_THE_AUTHOR" in document
    assert "CLOCKMILL__" not in document


def test_walking_through_a_set_gives_the_same_document_each_time(root: Path) -> None:
    (root / "sets.py").write_text(
        "from clockmill import DAG\nfrom clockmill.operators.empty import EmptyOperator\n"
        "with DAG('sets') as d:\n    for name in {f'task_{n}' for n in range(50)}: EmptyOperator(task_id=name)\n"
    )
    documents = set()
    for _ in range(2):
        crew = ParsingCrew(1, timeout=20, memory_mb=256, max_document_mb=1)
        (result,) = crew.parse(root, ["sets.py"], lambda: False)
        crew.stop()
        documents.add(result.dags[0].document)
    assert len(documents) == 1


def test_work_is_dropped_when_it_is_told_to_stop(root: Path, crew: ParsingCrew) -> None:
    (root / "slow.py").write_text("import clockmill, time\ntime.sleep(60)\n")
    looks = iter([False, True])
    assert list(crew.parse(root, ["slow.py"], lambda: next(looks))) == []


def test_what_lies_in_the_working_folder_does_not_shadow_what_the_parsing_imports(
    parse: Callable[..., dict[str, ParseResult]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_in = tmp_path / "where somebody works"
    (started_in / "clockmill").mkdir(parents=True)
    (started_in / "selectors.py").write_text("raise RuntimeError('not the module of that name')\n")
    monkeypatch.chdir(started_in)
    assert [dag.dag_id for dag in parse(good=GOOD)["good.py"].dags] == ["good"]
