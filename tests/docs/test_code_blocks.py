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


def blocks(language: str) -> dict[str, str]:
    """Every block in that language, by page and number."""
    return {
        f"{page.relative_to(ROOT)}-{number}": text
        for page in PAGES
        for number, (name, text) in enumerate(_BLOCK.findall(page.read_text()), 1)
        if name == language
    }


def each_block(language: str) -> pytest.MarkDecorator:
    found = blocks(language)
    return pytest.mark.parametrize("source", list(found.values()), ids=list(found))


@each_block("python")
def test_dag_file_runs_to_success(source: str, tmp_path: Path) -> None:
    file = tmp_path / "shown.py"
    file.write_text(source)
    dags = load_dags(file, "shown", tmp_path)
    assert [dag.test().state for dag in dags] == ["success"] * len(dags)
    assert dags


@each_block("toml")
def test_settings_load(source: str, tmp_path: Path) -> None:
    (tmp_path / "clockmill.toml").write_text(source)
    assert config.load(tmp_path, environ={}).home == tmp_path


def commands() -> Iterator[list[str]]:
    """The words after ``clockmill`` of each command shown."""
    for line in "\n".join(blocks("bash").values()).splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words and Path(words[0]).name == "clockmill":
                yield words[1:]


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
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
