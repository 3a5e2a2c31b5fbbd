"""The files of ``deploy/`` say nothing that is not so: no command, option or variable in them is misspelt."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest

from clockmill import config
from clockmill.errors import ConfigError
from clockmill.runtime.remote.signing import MOST_BYTES
from clockmill.webserver.execution import MOUNT
from tests.deploy import files

#: What workers take to end tasks and to tell of it, besides the grace of their command line.
_FAREWELL = 10.0


def load(environment: Mapping[str, str], tmp_path: Path) -> config.Settings:
    """The settings that this environment makes; files of secrets hold something that will do."""
    secret = tmp_path / "secret"
    secret.write_text("postgresql+psycopg://a:b@c/d")
    known = {name: str(secret) if name.endswith("_FILE") else value for name, value in environment.items()}
    return config.load(tmp_path, environ=known)


def check_stop(grace: float | None, patience: float) -> None:
    """What stops a service waits for as long as its command line lets tasks go on, and then for their end."""
    settings = config.Settings(home=Path())
    assert patience >= (grace or 0) + settings.scheduler.kill_grace_seconds + _FAREWELL
    assert patience <= (grace or 0) + 60


@pytest.mark.parametrize("name", files.ours())
def test_a_service_of_the_compose_file_has_a_command_that_exists_and_settings_that_load(
    name: str, tmp_path: Path
) -> None:
    service = files.ours()[name]
    values = files.parsed(service["command"])
    environment = files.variables(files.DEPLOY / service["env_file"], commented=True) | service["environment"]
    assert all(isinstance(value, str) for value in environment.values())

    settings = load(environment, tmp_path)

    assert bool(settings.workers.api_url) == ("worker" in name)
    check_stop(values.get("grace"), files.seconds(service["stop_grace_period"]))
    assert service["user"].partition(":")[0] not in {"", "0", "root"}
    check = service.get("healthcheck", {}).get("test", [])
    if "clockmill" in check:
        assert files.parsed(check[1:])["service"] == name


@pytest.mark.parametrize("name", files.services())
def test_a_service_names_only_what_the_compose_file_has_and_an_image_that_does_not_change(name: str) -> None:
    whole, service = files.compose(), files.services()[name]
    assert re.fullmatch(r"[a-z]+:\d+\.\d[\w.-]*", service["image"])
    assert set(service.get("secrets", [])) <= whole["secrets"].keys()
    assert set(service["networks"]) <= whole["networks"].keys()
    assert service.get("depends_on", {}).keys() <= whole["services"].keys()
    mounts = [mount.split(":") for mount in service.get("volumes", [])]
    assert {source for source, *_ in mounts if not source.startswith(".")} <= whole["volumes"].keys()
    asked = [value for value in service.get("environment", {}).values() if value.startswith("/run/secrets/")]
    assert {Path(value).name for value in asked} <= set(service.get("secrets", []))
    assert ("./dags" in {source for source, *_ in mounts}) == (name == "dag-processor")
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")
    if each := {"postgres": "pg_isready", "redis": "redis-cli"}.get(name):
        assert each in service["healthcheck"]["test"]


def test_workers_have_homes_and_names_of_their_own_and_know_no_database() -> None:
    workers = {name: each for name, each in files.ours().items() if name.startswith("worker")}
    assert len(workers) == 2
    assert len({mount for each in workers.values() for mount in each["volumes"]}) == 2
    for name, each in workers.items():
        assert each["hostname"] == name == files.parsed(each["command"])["name"]
        assert each["secrets"] == ["workers_secret"]
        assert "database" not in each["networks"]
        assert not any("DATABASE" in variable for variable in each["environment"])


def test_the_image_has_the_extras_the_home_and_the_user_that_the_services_need() -> None:
    text = (files.DEPLOY / "Dockerfile").read_text()
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", text)
    setup = configparser.ConfigParser()
    setup.read(files.ROOT / "setup.cfg")
    assert {"postgres", "celery", "remote"} <= set(extras.split(",")) <= set(setup["options.extras_require"])
    (user,) = {service["user"] for service in files.ours().values()}
    assert [f"--gid {user.partition(':')[2]} ", f"--uid {user.partition(':')[0]} "] == re.findall(
        r"(?<=add )--[gu]id \d+ ", text
    )
    (home,) = re.findall(r"CLOCKMILL_HOME=(\S+)", text)
    assert all(any(mount.endswith(f":{home}") for mount in each["volumes"]) for each in files.ours().values())
    assert {tag for tag in re.findall(r"^FROM (\S+)", text, re.M) if not re.search(r":\d+\.\d+\.\d+-", tag)} == set()
    version = setup["metadata"]["version"]
    assert {each["image"] for each in files.ours().values()} == {f"clockmill:{version}"}
    kept = re.findall(r"^!(.+)$", (files.DEPLOY / "Dockerfile.dockerignore").read_text(), re.M)
    copied = [word for line in re.findall(r"^COPY ([^-].*)$", text, re.M) for word in line.split()[:-1]]
    assert sorted(copied) == sorted(kept)
    assert all((files.ROOT / each).exists() for each in copied)


@pytest.mark.parametrize("path", files.UNITS, ids=lambda path: path.name)
def test_a_unit_has_a_command_that_exists_settings_that_load_and_a_home_that_it_may_write(
    path: Path, tmp_path: Path
) -> None:
    settings = dict(files.unit(path))
    values = files.parsed(shlex.split(settings["ExecStart"]))
    environment = files.unit_variables(path)
    home = environment.pop("CLOCKMILL_HOME")
    env_file = Path(settings["EnvironmentFile"].removeprefix("-"))
    environment |= files.variables(files.DEPLOY / "systemd" / env_file.name, commented=True)

    loaded = load(environment, tmp_path)

    assert home == f"%S/{settings['StateDirectory']}"
    credentials = {value.partition(":")[0] for name, value in files.unit(path) if name == "LoadCredential"}
    assert {value.removeprefix("%d/") for value in environment.values() if value.startswith("%d/")} == credentials
    if "migrate" in path.name:
        return
    check_stop(values.get("grace"), files.seconds(settings["TimeoutStopSec"]))
    # The processes of tasks outlive who started them: neither a signal nor an emptied folder may reach them.
    runs_tasks = "scheduler" in path.name or "worker" in path.name
    assert settings["KillMode"] == ("process" if runs_tasks else "mixed")
    assert runs_tasks == ("PrivateTmp" not in settings)
    assert not runs_tasks or settings["OOMPolicy"] == "continue"
    assert "ProcSubset" not in settings
    assert loaded.workers.api_url == ("https://clockmill.example.com" if "worker" in path.name else "")


def test_the_target_wants_every_service_that_belongs_to_it() -> None:
    target = dict(files.unit(files.DEPLOY / "systemd" / "clockmill.target"))
    parts = {path.name for path in files.UNITS if dict(files.unit(path)).get("PartOf") == "clockmill.target"}
    assert set(target["Wants"].split()) == parts
    assert len(parts) == 4


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for path in [*files.UNITS, files.DEPLOY / "systemd" / "clockmill.target"]:
        # The program is looked for, which stands elsewhere here.
        text = path.read_text().replace("/opt/clockmill/bin/clockmill", sys.executable)
        (tmp_path / path.name.replace("@.", "@one.")).write_text(text)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    ours = [line for line in done.stderr.splitlines() if "clockmill" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_the_proxy_lets_calls_of_workers_through_as_they_are() -> None:
    text = (files.DEPLOY / "proxy" / "nginx.conf").read_text()
    (body,) = re.findall(rf"location {MOUNT}/ {{(.*?)}}", text, re.DOTALL)
    assert f"client_max_body_size {MOST_BYTES >> 20}m;" in body
    assert "auth_basic" not in body
    assert re.findall(r"proxy_pass (.*);", body) == ["http://clockmill"]
    (name,) = set(re.findall(r"server_name (.*);", text))
    assert name == files.variables(files.DEPLOY / "clockmill.env")["CLOCKMILL__WEBSERVER__ALLOWED_HOSTS"]


@pytest.mark.parametrize("words", [["clockmill", "schedular"], ["clockmill", "celery", "worker", "--concurency", "8"]])
def test_a_misspelt_command_line_would_be_noticed(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        files.parsed(words)


def test_a_misspelt_variable_would_be_noticed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load({"CLOCKMILL__WORKERS__SECRETS_FILE": "x"}, tmp_path)
