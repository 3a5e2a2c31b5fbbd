"""The options of an executor: whatever its section says, read as the types of its defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from clockmill.errors import ConfigError
from clockmill.executors.local import LocalExecutor
from clockmill.executors.setup import ExecutorSetup

DEFAULTS = {"niceness": 10, "share": 0.5, "is_quiet": True, "queue": "low"}


def setup(tmp_path: Path, **options: object) -> ExecutorSetup:
    return ExecutorSetup(
        name="batch", home=tmp_path, run_folder=tmp_path / "run", slots=2, gateway="a:b", gateway_spec={},
        options=options,
    )  # fmt: skip


def test_options_that_are_not_set_have_their_defaults(tmp_path):
    assert setup(tmp_path).read_options(DEFAULTS) == DEFAULTS


def test_the_text_of_the_environment_and_the_values_of_the_file_mean_the_same(tmp_path):
    said = {"niceness": 3, "share": 1.0, "is_quiet": False, "queue": "7"}
    for options in (said, said | {"share": 1}, {name: str(value) for name, value in said.items()}):
        assert setup(tmp_path, **options).read_options(DEFAULTS) == said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"nicenes": 3}, r"\[executor.batch\] has no option 'nicenes'\. Did you mean 'niceness'\?"),
        ({"niceness": "much"}, r"\[executor.batch\] niceness is 'much', but must be a whole number\."),
        ({"niceness": 1.5}, r"niceness is 1.5, but must be a whole number\."),
        ({"niceness": True}, r"niceness is True, but must be a whole number\."),
        ({"share": "half"}, r"share is 'half', but must be a number\."),
        ({"is_quiet": "maybe"}, r"is_quiet is 'maybe', but must be true or false\."),
        ({"queue": 3}, r"queue is 3, but must be a text\."),
    ],
)
def test_what_is_no_option_or_of_another_type_is_refused(tmp_path, options, told):
    with pytest.raises(ConfigError, match=told):
        setup(tmp_path, **options).read_options(DEFAULTS)


def test_the_local_executor_has_no_options(tmp_path):
    with pytest.raises(ConfigError, match=r"\[executor.batch\] has no option 'parallel'"):
        LocalExecutor(setup(tmp_path, parallel=3))
