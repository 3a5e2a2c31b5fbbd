import stat
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from clockmill import config
from clockmill.errors import UsageError


def test_a_new_home_has_folders_and_a_file_that_changes_nothing(tmp_path: Path) -> None:
    before = config.load(tmp_path / "home", environ={})

    made = config.create_home(before)

    assert before.config_file in made
    assert config.load(tmp_path / "home", environ={}) == before
    assert stat.S_IMODE(before.keys_folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(before.run_folder.stat().st_mode) == 0o700
    assert before.dags_folder.is_dir()


def test_a_second_call_makes_nothing_and_keeps_the_file(tmp_path: Path) -> None:
    settings = config.load(tmp_path, environ={})
    config.create_home(settings)
    settings.config_file.write_text("[core]\nparallelism = 7\n")

    assert config.create_home(settings) == []
    assert config.load(tmp_path, environ={}).core.parallelism == 7


def test_the_default_file_is_valid_once_every_comment_sign_before_a_key_is_taken_away(tmp_path: Path) -> None:
    lines = config.default_toml().splitlines()
    (tmp_path / "clockmill.toml").write_text(
        "\n".join(line[1:] if line[:1] == "#" and line[1:2].islower() else line for line in lines)
    )

    text = (tmp_path / "clockmill.toml").read_text()

    assert sum(len(section) for section in tomllib.loads(text).values()) == len(config.OPTIONS)
    settings = config.load(tmp_path, environ={})
    assert settings == config.load(tmp_path, {each.path: str(each.default) for each in config.OPTIONS}, {})


def test_a_home_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    settings = replace(config.load(tmp_path, environ={}), home=tmp_path / "file" / "home")

    with pytest.raises(UsageError, match=r"home cannot be created: Not a directory\.$"):
        config.create_home(settings)


def test_every_option_is_described() -> None:
    for each in config.OPTIONS:
        assert each.traits.meaning.endswith("."), each.path
        assert each.default_text, each.path
