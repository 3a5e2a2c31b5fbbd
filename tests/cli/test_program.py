import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from clockmill.cli.main import cli


def run(*arguments: str, home: Path | None = None) -> Result:
    environment = {"CLOCKMILL_HOME": str(home) if home else None}
    return CliRunner().invoke(cli, list(arguments), env=environment)


def test_help_lists_every_group_and_verb() -> None:
    result = run("--help")

    assert result.exit_code == 0
    listed = set(re.findall(r"^  ([a-z-]+) ", result.stdout, re.MULTILINE))
    assert listed >= {"standalone", "scheduler", "webserver", "dag-processor", "info", "version", "db", "why"}
    assert listed >= {"dags", "tasks", "xcoms", "config", "variables", "connections", "pools"}


def test_the_version_is_an_option_too() -> None:
    assert run("--version").stdout == run("version").stdout
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", run("--version").stdout)


def test_help_loads_neither_the_database_nor_the_tables_for_people() -> None:
    code = (
        "import sys\nfrom clockmill.cli.main import cli\n"
        "try: cli.main(['--help'], 'clockmill')\nexcept SystemExit: pass\n"
        "print(sorted({'sqlalchemy', 'flask', 'rich', 'yaml', 'clockmill.cli.dags'} & set(sys.modules)))"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_is_refused_with_the_nearest_name() -> None:
    result = run("confg", "list")

    assert result.exit_code == 2
    assert result.stderr == "clockmill: There is no command 'confg'. Did you mean 'config'? See 'clockmill --help'.\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("celery flower", "There is no command 'flower'. 'clockmill workers list' shows the workers."),
        ("db init", "There is no command 'init'. The tables are made by 'clockmill db migrate'."),
        ("worker", "There is no command 'worker'. Did you mean 'celery worker'?"),
        ("scheduler -D", "There is no option '-D'. It stays in the foreground, to be kept running by systemd or"),
        ("scheduler -x", "No such option '-x'."),
    ],
)
def test_who_comes_from_airflow_is_told_what_is_called_otherwise(words: str, told: str) -> None:
    result = run(*words.split())
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr


def test_an_unknown_option_is_refused_in_one_line() -> None:
    result = run("config", "list", "--outptu", "json")

    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "--output" in result.stderr


def test_a_bad_setting_ends_every_command_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "clockmill.toml").write_text("[core]\nparalelism = 1\n")

    result = run("config", "list", home=tmp_path)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.endswith("has no option 'paralelism'. Did you mean 'parallelism'?\n")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_home_is_taken_before_and_after_the_name_of_a_command(tmp_path: Path, place: int) -> None:
    (tmp_path / "clockmill.toml").write_text("[core]\nparallelism = 77\n")
    arguments = ["config", "get-value"]
    arguments[place:place] = ["--home", str(tmp_path)]

    result = run(*arguments, "core", "parallelism")

    assert (result.exit_code, result.stdout) == (0, "77\n")


def test_settings_are_listed_with_their_source_in_every_form(tmp_path: Path) -> None:
    (tmp_path / "clockmill.toml").write_text("[webserver]\nport = 81\n")
    arguments = ["config", "list", "--section", "webserver", "--output"]

    as_json = json.loads(run(*arguments, "json", home=tmp_path).stdout)
    as_yaml = yaml.safe_load(run(*arguments, "yaml", home=tmp_path).stdout)
    as_plain = run(*arguments, "plain", home=tmp_path).stdout.splitlines()
    as_table = run(*arguments, "table", home=tmp_path).stdout

    assert {"section": "webserver", "key": "port", "value": 81, "source": "file"}.items() <= as_json[1].items()
    assert as_yaml == as_json
    assert as_plain[:3:2] == ["section\tkey\tvalue\tsource", "webserver\tport\t81\tfile"]
    assert "webserver" in as_table
    assert "81" in as_table


def test_an_unknown_section_or_option_names_the_nearest(tmp_path: Path) -> None:
    section = run("config", "list", "--section", "webservr", home=tmp_path)
    option = run("config", "get-value", "core", "executr", home=tmp_path)

    assert (section.exit_code, option.exit_code) == (1, 1)
    assert section.stderr == "clockmill: There is no section 'webservr'. Did you mean 'webserver'?\n"
    assert option.stderr == "clockmill: There is no option 'core executr'. Did you mean 'core executor'?\n"


def test_the_password_of_the_database_is_masked(tmp_path: Path) -> None:
    url = "postgresql+psycopg://me:secret@host/name"
    (tmp_path / "clockmill.toml").write_text(f"[database]\nurl = '{url}'\n")

    masked = run("config", "get-value", "database", "url", home=tmp_path)
    shown = run("config", "get-value", "database", "url", "--show-secrets", home=tmp_path)

    assert masked.stdout == "postgresql+psycopg://me:***@host/name\n"
    assert shown.stdout == f"{url}\n"


def test_a_bug_of_ours_is_one_line_with_the_traceback_in_the_log(tmp_path: Path) -> None:
    @click.command()
    def broken() -> None:
        raise RuntimeError("ouch")

    cli.add_command(broken)
    try:
        result = run("--home", str(tmp_path), "broken")
    finally:
        del cli.commands["broken"]

    log = tmp_path / "logs" / "clockmill.log"
    assert result.exit_code == 1
    assert result.stderr == (
        f"clockmill: This is a bug in Clockmill (RuntimeError: ouch). Its traceback is in {log}.\n"
    )
    assert "Traceback" in log.read_text()


def test_the_help_of_each_lazy_command_says_what_the_list_says() -> None:
    context = click.Context(cli)

    for name, (_, summary) in cli.lazy.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(100).rstrip(".") == summary.rstrip("."), name
