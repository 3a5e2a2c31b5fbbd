"""What the pages about deploying tell people to type: it exists, and what it makes is what the files expect."""

from __future__ import annotations

import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from clockmill import config
from tests.deploy import files

HOWTO = files.ROOT / "docs" / "howto"
PAGES = [HOWTO / "deploy.md", HOWTO / "runbook.md"]
_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def lines() -> Iterator[str]:
    """Each command of a block, and each that stands in a sentence."""
    for page in PAGES:
        text = page.read_text()
        yield from "".join(_BLOCK.findall(text)).splitlines()
        yield from (each.replace("\n", " ") for each in re.findall(r"`([^`]+)`", _BLOCK.sub("", text)))


def calls() -> Iterator[list[str]]:
    """Our own program, whoever starts it."""
    for line in lines():
        words = shlex.split(line) if line.count("'") % 2 == 0 else []
        places = [number for number, word in enumerate(words[:-1]) if word == "clockmill"]
        if places and re.fullmatch("[a-z-]+", words[places[-1] + 1]):
            yield words[places[-1] :]


@pytest.mark.parametrize("words", list(calls()), ids=" ".join)
def test_a_command_can_be_typed_as_it_is_told(words: list[str]) -> None:
    with suppress(click.MissingParameter):  # in a sentence a command is named without its arguments
        files.parsed(words)


def test_units_and_files_that_are_named_are_there() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    units = {path.stem.rstrip("@") for path in files.UNITS} | {"clockmill.target"}
    named = set(re.findall(r"\bclockmill-(?:scheduler|webserver|dag-processor|triggerer|migrate|worker)\b", text))
    assert named <= units
    services = set(re.findall(r"docker compose (?:exec|stop) ([\w -]+?)(?: clockmill|`|$)", text, re.MULTILINE))
    assert {name for each in services for name in each.split()} <= files.services().keys()
    paths = set(re.findall(r"\bdeploy/[\w./-]*\w", text)) - {"deploy/dags", "deploy/systemd"}
    assert [path for path in paths if not (files.ROOT / path).exists()] == []
    credentials = {
        value.partition(":")[2] for path in files.UNITS for name, value in files.unit(path) if "Load" in name
    }
    told = set(re.findall(r"/etc/clockmill/secrets/\w+", text))
    assert told <= credentials


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")
def test_the_commands_for_the_secrets_make_the_files_that_the_compose_file_names(tmp_path: Path) -> None:
    (script,) = re.findall(r"<!-- secrets -->\n```bash\n(.*?)```", (HOWTO / "deploy.md").read_text(), re.DOTALL)
    (tmp_path / "deploy").mkdir()

    subprocess.run(["bash", "-euc", f"umask 022; {script}"], cwd=tmp_path, check=True)

    folder = tmp_path / "deploy"
    wanted = {each["file"] for each in files.compose()["secrets"].values()}
    assert {f"./secrets/{path.name}" for path in (folder / "secrets").iterdir()} == wanted
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
    # A container sees the file alone, as another user than the one who made it.
    assert all(path.stat().st_mode & 0o004 for path in (folder / "secrets").iterdir())
    told = {
        "CLOCKMILL__DATABASE__URL_FILE": str(folder / "secrets" / "database_url.txt"),
        "CLOCKMILL__WORKERS__SECRET_FILE": str(folder / "secrets" / "workers_secret.txt"),
    }
    settings = config.load(tmp_path, environ=told)
    password = (folder / "secrets" / "postgres_password.txt").read_text().strip()
    postgres = files.services()["postgres"]["environment"]
    user, database = postgres["POSTGRES_USER"], postgres["POSTGRES_DB"]
    assert settings.database_url == f"postgresql+psycopg://{user}:{password}@postgres/{database}"
    assert (folder / "dags").is_dir()
