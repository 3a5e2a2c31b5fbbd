"""What can be asked of the start of a program: refused in good time, and refused in words that help."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockmill.host import launching

SOUND = {
    "python": "/opt/venv",
    "cwd": "/srv",
    "env": {"MODE": "fast"},
    "cpu_seconds": 1,
    "memory_mb": 32,
    "open_files": 16,
    "nice": -20,
}


def test_what_is_sound_is_taken() -> None:
    launching.check(SOUND)
    assert set(SOUND) == set(launching.OPTIONS)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("python", "./venv", "must be the path of an interpreter or of a virtual environment, or a name, not './venv'"),
        ("python", "", "must be the path of an interpreter"),
        ("cwd", "data", "must be an absolute path, not 'data'"),
        ("cwd", "/a\0b", "must be an absolute path"),
        ("env", ["A=1"], "must be a dictionary"),
        ("env", {"A": 1}, "must give A a string, not 1"),
        ("env", {"A": "\0"}, "must give A a string"),
        ("env", {"A=B": "1"}, "has 'A=B', which is no name of a variable"),
        ("env", {"ATTEMPT_ID": "1"}, "must leave ATTEMPT_ID alone"),
        ("env", {"CLOCKMILL_HOME": "/"}, "must leave CLOCKMILL_HOME alone"),
        ("cpu_seconds", 0, "must be a whole number from 1 to 2147483647, not 0"),
        ("cpu_seconds", 1.5, "must be a whole number"),
        ("memory_mb", 31, "must be a whole number from 32 to"),
        ("memory_mb", True, "must be a whole number"),
        ("open_files", 15, "must be a whole number from 16 to"),
        ("nice", 20, "must be a whole number from -20 to 19, not 20"),
    ],
)
def test_what_is_not_sound_is_named(name: str, value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        launching.check({**SOUND, name: value})
    assert str(caught.value).startswith(f"{name} ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("memory", "Did you mean 'memory_mb'?"), ("run_as_user", "Give the task itself run_as_user='NAME'."), ("x", "")],
)
def test_an_option_that_is_not_there_is_answered_with_what_is_meant(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"there is no {name!r}") as caught:
        launching.check({name: 1})
    assert hint in str(caught.value)
    assert "Known are python, cwd," in str(caught.value)


@given(st.dictionaries(st.sampled_from([*SOUND, "other"]), st.none() | st.text() | st.integers() | st.lists(st.text())))
def test_nothing_else_than_a_sentence_comes_of_nonsense(config: dict[str, object]) -> None:
    try:
        launching.check(config)
    except ValueError as error:
        assert str(error).endswith(".")


def test_another_python_is_not_told_where_this_one_has_its_modules(tmp_path) -> None:
    here = {"PATH": "/bin", "PYTHONPATH": "/ours", "VIRTUAL_ENV": "/ours", "LANG": "C"}
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    config = {"python": str(tmp_path), "env": {"LANG": "de"}}
    python = launching.interpreter(config, here)
    assert python == str(tmp_path / "bin" / "python")
    assert launching.environment_for(config, python, here) == {
        "PATH": f"{tmp_path}/bin:/bin",
        "VIRTUAL_ENV": str(tmp_path),
        "LANG": "de",
    }
    assert launching.environment_for({}, launching.interpreter({}, here), here) == here


def test_a_bare_name_is_looked_for_in_the_path_that_the_program_gets(tmp_path) -> None:
    (tmp_path / "mine").symlink_to(sys.executable)
    config = {"python": "mine", "env": {"PATH": f"/nowhere:{tmp_path}"}}
    assert launching.interpreter(config, os.environ) == str(tmp_path / "mine")
