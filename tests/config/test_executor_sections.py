"""The sections of single executors, which nobody but the executor understands."""

from __future__ import annotations

import pytest

from clockmill import config
from clockmill.config.executors import executor_section, refuse_misspelt_sections
from clockmill.errors import ConfigError


def load(home, text="", **environ):
    (home / "clockmill.toml").write_text(text)
    return config.load(home, {}, environ)


def test_an_executor_without_a_section_has_the_slots_of_core(tmp_path):
    section = executor_section(load(tmp_path, "[core]\nparallelism = 7\n"), "batch")
    assert (section.slots, section.options) == (7, {})


def test_a_section_sets_the_slots_of_its_executor_and_the_options_that_it_knows(tmp_path):
    settings = load(tmp_path, "[executor.night-batch]\nslots = 3\nniceness = 4\nhosts = ['a']\n[executor.b]\nx = 1\n")
    section = executor_section(settings, "night-batch")
    assert (section.slots, section.options) == (3, {"niceness": 4, "hosts": ["a"]})


def test_the_environment_wins_over_the_file(tmp_path):
    text = "[executor.night-batch]\nslots = 3\nniceness = 4\n"
    environ = {"CLOCKMILL__EXECUTOR__NIGHT_BATCH__SLOTS": "5", "CLOCKMILL__EXECUTOR__NIGHT_BATCH__QUEUE": "q"}
    settings = load(tmp_path, text, **environ)
    section = executor_section(settings, "night-batch")
    assert (section.slots, section.options) == (5, {"niceness": 4, "queue": "q"})


def test_what_holds_a_password_may_stand_in_a_file(tmp_path):
    (tmp_path / "url").write_text("redis://:secret@broker/0\n")
    settings = load(tmp_path, CLOCKMILL__EXECUTOR__NIGHT__BROKER_URL_FILE=str(tmp_path / "url"))
    assert executor_section(settings, "night").options == {"broker_url": "redis://:secret@broker/0"}
    with pytest.raises(ConfigError, match=r"NIGHT__BROKER_URL_FILE: .*nowhere cannot be read"):
        load(tmp_path, CLOCKMILL__EXECUTOR__NIGHT__BROKER_URL_FILE=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("slots", ["0", "10001", "'many'", "true", "1.5"])
def test_slots_have_to_be_a_number_that_is_allowed(tmp_path, slots):
    settings = load(tmp_path, f"[executor.batch]\nslots = {slots}\n")
    with pytest.raises(ConfigError, match=r"\[executor.batch\] slots is .*, but must be a whole number from 1 to"):
        executor_section(settings, "batch")


def test_the_outermost_slots_are_allowed(tmp_path):
    for slots in (1, 10_000):
        assert executor_section(load(tmp_path, f"[executor.batch]\nslots = {slots}\n"), "batch").slots == slots


def test_a_section_that_is_nearly_that_of_an_executor_is_refused_and_one_out_of_use_is_not(tmp_path):
    settings = load(tmp_path, "[executor.batsh]\nslots = 3\n[executor.celery]\nslots = 1\n")
    refuse_misspelt_sections(settings, ["local"])
    with pytest.raises(ConfigError, match=r"\[executor.batsh\] is about no executor .* Did you mean 'batch'\?"):
        refuse_misspelt_sections(settings, ["local", "batch"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("executor = 'local'\n", r"'executor' must hold a section for each executor"),
        ("[executor]\nslots = 3\n", r"the section \[executor\] has no options, but sections: .* before 'slots'"),
    ],
)
def test_options_outside_of_the_section_of_an_executor_are_refused(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told):
        load(tmp_path, text)


def test_how_many_tasks_a_process_may_run_is_said_for_all_executors_or_for_one(tmp_path):
    settings = load(tmp_path, "[core]\nmax_tasks_per_process = 7\n[executor.batch]\nmax_tasks_per_process = 9\n")
    assert executor_section(settings, "local").max_tasks_per_process == 7
    assert executor_section(settings, "batch").max_tasks_per_process == 9
    assert executor_section(settings, "batch").options == {}
    with pytest.raises(ConfigError, match="max_tasks_per_process is 0, but must be a whole number from 1 to 100000"):
        executor_section(load(tmp_path, "[executor.batch]\nmax_tasks_per_process = 0\n"), "batch")
