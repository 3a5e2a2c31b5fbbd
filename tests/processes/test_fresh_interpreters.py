"""The subprocess executor: each attempt in an interpreter of its own, as its task asks for it."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clockmill.executors.base import SupervisorDown

#: An interpreter that pretends: what stands in the braces comes first.
PRETENDER = "#!{python}\nimport runpy, sys\n{lie}\nrunpy.run_path(sys.argv[1], run_name='__main__')\n"


@pytest.fixture
def kind() -> str:
    return "subprocess"


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing in it."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def others() -> list[str]:
    """Other Pythons that this machine has and that tasks may use."""
    names = [f"python3.{minor}" for minor in range(11, 20) if minor != sys.version_info.minor]
    installed = [shutil.which(name) for name in names]
    homes = [Path.home() / ".pyenv" / "versions"]
    built = [str(path) for home in homes for name in names for path in home.glob(f"*/bin/{name}")]
    found = [path for path in [*installed, *built] if path]
    return [path for path in found if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0][:2]


def test_every_attempt_has_an_interpreter_of_its_own(bench):
    bench.dag_file(
        "import os, sys\nCOUNT = []\ndef look():\n    COUNT.append(os.getpid())\n    print('count', len(COUNT))"
    )
    executor = bench.executor()
    for _ in range(4):
        assert bench.run(executor, "look").outcome == "success"
    assert bench.said("look") == ["count 1"] * 4


def test_a_virtual_environment_needs_nothing_of_ours(bench, venv):
    bench.dag_file(
        "import importlib.util, os, shutil, sys\n"
        "def look():\n"
        "    print('prefix', sys.prefix)\n"
        "    print('active', os.environ['VIRTUAL_ENV'], shutil.which('python'))\n"
        "    names = ('sqlalchemy', 'flask', 'jinja2', 'croniter', 'click')\n"
        "    print('has', [name for name in names if importlib.util.find_spec(name)])\n"
        "    print('path', [entry for entry in sys.path if 'site-packages' in entry])"
    )
    report = bench.run(bench.executor(), "look", executor_config={"python": str(venv)})
    assert report.outcome == "success"
    [site] = venv.glob("lib/python*/site-packages")
    assert bench.said("look") == [
        f"prefix {venv}",
        f"active {venv} {venv}/bin/python",
        "has []",
        f"path {[str(site)]}",
    ]


def test_a_template_without_jinja_says_what_to_install_where(bench, venv):
    bench.dag_file(
        "from clockmill import DAG\nfrom clockmill.operators.bash import BashOperator\n"
        "with DAG('shell', schedule='0 6 * * *'):\n"
        "    BashOperator(task_id='plain', bash_command='echo plain')\n"
        "    BashOperator(task_id='filled', bash_command='echo {{ ds }}')"
    )
    executor = bench.executor()
    config = {"python": str(venv)}
    assert bench.run(executor, "plain", dag_id="shell", executor_config=config).outcome == "success"
    report = bench.run(executor, "filled", dag_id="shell", executor_config=config)
    assert report.outcome == "failed"
    assert f"'bash_command' holds a template, and its Python, {venv}/bin/python, has no jinja2" in report.reason


@pytest.mark.parametrize("python", others() or [sys.executable])
def test_a_python_of_another_version_runs_a_task(bench, python):
    bench.dag_file("import sys\ndef look(ti):\n    print('version', sys.version_info[1])\n    return {'a': (1, 2)}")
    report = bench.run(bench.executor(), "look", executor_config={"python": python})
    assert (report.outcome, report.xcoms[0][0]) == ("success", "return_value")
    minor = subprocess.check_output([python, "-c", "import sys; print(sys.version_info[1])"], text=True).strip()
    assert f"version {minor}" in bench.said("look")


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ("sys.version_info = (3, 10, 4)", "Its Python, {python}, is version 3.10.4; a task needs 3.11 or newer."),
        ("sys.modules['clockmill'] = None", "Its Python, {python}, cannot import clockmill from {root}: "),
    ],
    ids=["old", "blind"],
)
def test_a_python_that_cannot_run_a_task_says_so(bench, lie, reason):
    python = bench.home / "python"
    python.write_text(PRETENDER.format(python=sys.executable, lie=lie))
    python.chmod(0o700)
    bench.dag_file("def look(): pass")
    report = bench.run(bench.executor(), "look", executor_config={"python": str(python)})
    assert report.outcome == "failed"
    root = Path(__file__).parents[2]
    assert report.reason.startswith(reason.format(python=sys.executable, root=root))
    assert report.reason.rstrip(".") in bench.log("look")


REFUSED = [
    ({"python": "/no/such/python"}, "There is no Python at '/no/such/python'."),
    ({"python": "/usr"}, "There is no Python in the folder '/usr': it has no bin/python."),
    ({"python": "/etc/passwd"}, "'/etc/passwd' cannot be executed: Permission denied."),
    ({"python": "no-such-python"}, "There is no program 'no-such-python' in "),
    ({"cwd": "/no/such"}, "The working folder '/no/such' cannot be entered: No such file or directory."),
    ({"cwd": "/etc/passwd"}, "The working folder '/etc/passwd' cannot be entered: Not a directory."),
    ({"memory": 1}, "there is no 'memory'. Did you mean 'memory_mb'?"),
]


def test_what_cannot_be_started_fails_with_one_sentence(bench):
    bench.dag_file("def look(): pass")
    executor = bench.executor()
    for config, sentence in REFUSED:
        if "/usr" in config.values() and Path("/usr/bin/python").exists():
            continue
        report = bench.run(executor, "look", executor_config=config)
        assert (report.outcome, report.exit_code, report.started_at) == ("failed", 1, None), config
        assert report.reason.startswith(f"It could not be started: {sentence}"), config
        assert report.reason.rstrip(".") in bench.log("look")
    assert [event for event in bench.seen if isinstance(event, SupervisorDown)] == []
    assert bench.run(executor, "look").outcome == "success"


def test_what_is_asked_for_holds_in_the_task_and_what_it_starts(bench, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    bench.dag_file(
        "import os, resource, subprocess\n"
        "def look():\n"
        "    print('folder', os.getcwd())\n"
        "    print('files', resource.getrlimit(resource.RLIMIT_NOFILE))\n"
        "    print('cpu', resource.getrlimit(resource.RLIMIT_CPU)[0])\n"
        "    print('nice', os.nice(0), flush=True)\n"
        "    subprocess.run(['sh', '-c', 'echo shell $MODE $(ulimit -n)'])"
    )
    config = {
        "cwd": str(folder),
        "env": {"MODE": "fast, café"},
        "open_files": 100,
        "cpu_seconds": 500,
        "nice": 7,
    }
    before = os.nice(0)
    assert bench.run(bench.executor(), "look", executor_config=config).outcome == "success"
    assert bench.said("look") == [
        f"folder {folder}",
        "files (100, 100)",
        "cpu 500",
        f"nice {min(before + 7, 19)}",
        "shell fast, café 100",
    ]


def test_a_task_that_wants_more_memory_than_it_may_have_says_so_with_its_peak(bench):
    bench.dag_file("def eat():\n    kept = [bytearray(1 << 20) for _ in range(10_000)]")
    report = bench.run(bench.executor(), "eat", executor_config={"memory_mb": 100})
    assert report.outcome == "failed"
    assert re.fullmatch(r"MemoryError \(its memory_mb is 100; its peak was \d+\.\d MB\)\.", report.reason)
    assert 50_000 < report.peak_memory_kb < 150_000


def test_a_task_that_leaves_without_a_word_names_its_limit_of_memory(bench):
    bench.dag_file("import os\ndef leave(): os._exit(3)")
    report = bench.run(bench.executor(), "leave", executor_config={"memory_mb": 200})
    assert report.outcome == "failed"
    assert report.reason.startswith("It exited with code 3 before it reported (its memory_mb is 200; its peak was ")


def test_a_task_that_dies_for_want_of_memory_names_its_limit(bench):
    bench.dag_file("import os\ndef abort(): os.abort()")
    report = bench.run(bench.executor(), "abort", executor_config={"memory_mb": 200})
    assert report.outcome == "lost"
    told = "It was killed by SIGABRT (perhaps out of memory: its memory_mb is 200); its peak was "
    assert report.reason.startswith(told)


def test_a_task_that_computes_for_longer_than_it_may_fails_for_that(bench):
    bench.dag_file("def spin():\n    while True: pass")
    report = bench.run(bench.executor(), "spin", executor_config={"cpu_seconds": 1})
    assert (report.outcome, report.reason) == ("failed", "It used up its cpu_seconds of 1.")


def test_the_peak_of_a_small_task_is_its_own_and_not_that_of_who_started_it(bench):
    bench.dag_file(
        "import re\ndef look():\n    print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    )
    report = bench.run(bench.executor(), "look")
    assert abs(report.peak_memory_kb - int(bench.said("look")[0])) < 4_000


def test_a_task_becomes_the_user_that_it_names(bench):
    bench.dag_file("import os\ndef look(): print('user', os.geteuid(), os.environ['USER'], os.environ['HOME'])")
    me = pwd.getpwuid(os.geteuid())
    assert bench.run(bench.executor(), "look", run_as_user=me.pw_name).outcome == "success"
    assert bench.said("look") == [f"user {me.pw_uid} {me.pw_name} {me.pw_dir}"]


def test_another_user_has_no_more_than_his_own_rights_or_is_asked_for_in_vain(bench, tmp_path):
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    bench.dag_file("def look(): pass")
    executor = bench.executor()
    report = bench.run(executor, "look", run_as_user="nobody", executor_config={"cwd": str(folder)})
    told = {
        True: f"The working folder '{folder}' cannot be entered: Permission denied.",
        False: "Only root can run a task as another user (run_as_user='nobody').",
    }
    assert (report.outcome, report.reason) == ("failed", f"It could not be started: {told[os.geteuid() == 0]}")
    if os.geteuid() == 0:
        report = bench.run(executor, "look", run_as_user="nobody", bundle_path=str(folder / "bundle"))
        assert " cannot read " in report.reason
    report = bench.run(executor, "look", run_as_user="no-such-user-here")
    assert report.reason == "It could not be started: This machine has no user 'no-such-user-here' (run_as_user)."


def test_what_multiprocessing_spawns_from_a_task_finds_clockmill(bench):
    (bench.bundle / "helper.py").write_text("import clockmill\ndef double(number):\n    return 2 * number\n")
    bench.dag_file(
        "import multiprocessing\nfrom concurrent.futures import ProcessPoolExecutor\nfrom helper import double\n"
        "del double\n"
        "def pool():\n"
        "    import helper\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    with ProcessPoolExecutor(1, mp_context=context) as workers:\n"
        "        print('doubled', list(workers.map(helper.double, [1, 2])))"
    )
    report = bench.run(bench.executor(), "pool")
    assert report.outcome == "success"
    assert "doubled [2, 4]" in bench.said("pool")
