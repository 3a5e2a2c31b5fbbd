"""What the docs show works: DAG files run, settings load, commands and links exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from clockmill import config
from clockmill.cli.main import cli
from clockmill.model.loader import load_dags

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def blocks(language: str) -> Iterator[object]:
    for page in PAGES:
        found = [text for name, text in _BLOCK.findall(page.read_text()) if name == language]
        for number, text in enumerate(found, 1):
            yield pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}")


@pytest.mark.parametrize("source", blocks("python"))
def test_dag_file_runs_to_success(source: str, tmp_path: Path) -> None:
    file = tmp_path / "shown.py"
    file.write_text(source)
    dags = load_dags(file, "shown", tmp_path)
    assert [dag.test().state for dag in dags] == ["success"] * len(dags)
    assert dags


@pytest.mark.parametrize("source", blocks("toml"))
def test_settings_load(source: str, tmp_path: Path) -> None:
    (tmp_path / "clockmill.toml").write_text(source)
    assert config.load(tmp_path, environ={}).home == tmp_path


def commands() -> Iterator[object]:
    for block in blocks("bash"):
        for line in block.values[0].splitlines():  # type: ignore[attr-defined]
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                if words and Path(words[0]).name == "clockmill":
                    yield pytest.param(words[1:], id=" ".join(words[1:]))


@pytest.mark.parametrize("words", commands())
def test_command_exists_with_the_options_shown(words: list[str]) -> None:
    command: click.Command | None = cli
    context = click.Context(cli, info_name="clockmill")
    while words and isinstance(command, click.Group):
        name, *words = words
        command = command.get_command(context, name)
        assert command is not None, f"there is no command {name}"
        context = click.Context(command, parent=context, info_name=name)
    assert command is not None
    known = {name for parameter in command.get_params(context) for name in parameter.opts}
    assert [word for word in words if word.startswith("-") and word.partition("=")[0] not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in _LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("name", ["start", "tests"])
def test_readme_has_each_of_its_two_commands_on_one_line(name: str) -> None:
    marked = re.findall(
        rf"^<!-- {name} -->\n```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert len(marked) == 1
    assert len(marked[0].splitlines()) == 1
