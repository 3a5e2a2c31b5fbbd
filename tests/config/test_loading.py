from pathlib import Path

import pytest

from clockmill import config
from clockmill.config import Source
from clockmill.config.workers import api_url_problem, is_overheard
from clockmill.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def problems_of(
    home: Path, environ: dict[str, str] | None = None, overrides: dict[str, str] | None = None
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.load(home, overrides or {}, environ or {})
    return str(caught.value).splitlines()


def test_an_empty_home_gives_the_defaults(home: Path) -> None:
    settings = config.load(home, environ={})

    assert settings.core.executor == "local"
    assert settings.core.parallelism == 32
    assert settings.core.dags_folder == settings.dags_folder == home / "dags"
    assert settings.database_url == f"sqlite:///{home}/clockmill.db"
    assert settings.secret_key_file == home / "keys" / "web.key"
    assert (settings.logs_folder, settings.run_folder) == (home / "logs", home / "run")
    assert set(settings.sources.values()) == {Source.DEFAULT}


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(home: Path) -> None:
    (home / "clockmill.toml").write_text("[webserver]\nport = 1\nthreads = 2\nhost = 'a'\n")
    environ = {"CLOCKMILL__WEBSERVER__PORT": "3", "CLOCKMILL__WEBSERVER__THREADS": "4"}

    settings = config.load(home, {"webserver.port": "5"}, environ)

    assert (settings.webserver.port, settings.webserver.threads, settings.webserver.host) == (5, 4, "a")
    assert settings.sources["webserver.port"] is Source.COMMAND_LINE
    assert settings.sources["webserver.threads"] is Source.ENVIRONMENT
    assert settings.sources["webserver.host"] is Source.FILE


def test_options_of_airflow_lead_to_those_that_are_called_otherwise(home: Path) -> None:
    file = home / "clockmill.toml"
    file.write_text('[celery]\nworker_concurrency = 16\n[logging]\nremote_base_log_folder = "s3://logs"\n')

    assert problems_of(home, {"CLOCKMILL__CELERY__RESULT_BACKEND": "redis://"}) == [
        f"{file}: the section [celery] has no option 'worker_concurrency'. That is slots in [executor.celery].",
        f"{file}: the section [logging] has no option 'remote_base_log_folder'. That is remote in [logs].",
        "The environment variable CLOCKMILL__CELERY__RESULT_BACKEND sets no option. "
        "None is needed: how tasks ended stands in the database.",
    ]


def test_every_problem_is_told_at_once(home: Path) -> None:
    file = home / "clockmill.toml"
    file.write_text("[core]\nparalelism = 3\ncrash_budget = -1\n[webservr]\nport = 1\n")

    told = problems_of(home, {"CLOCKMILL__CORE__CRASH_BUDGE": "1", "CLOCKMILL__LOGGING__LEVEL": "loud"})

    assert told == [
        f"{file}: the section [core] has no option 'paralelism'. Did you mean 'parallelism'?",
        f"{file}: [core] crash_budget is -1, but must be a whole number from 0 to 1000.",
        f"{file}: there is no section 'webservr'. Did you mean 'webserver'?",
        "The environment variable CLOCKMILL__CORE__CRASH_BUDGE sets no option. "
        "Did you mean 'CLOCKMILL__CORE__CRASH_BUDGET'?",
        "CLOCKMILL__LOGGING__LEVEL: [logging] level is 'loud', "
        "but must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL.",
    ]


@pytest.mark.parametrize(
    ("variable", "text", "told"),
    [
        ("CORE__PARALLELISM", "many", "a whole number from 1 to 10000"),
        ("CORE__PARALLELISM", "0", "a whole number from 1 to 10000"),
        ("CORE__LOAD_EXAMPLES", "perhaps", "true or false"),
        ("SCHEDULER__KILL_GRACE_SECONDS", "nan", "a number of seconds from 0 to 3600"),
        ("WEBSERVER__PORT", "70000", "a whole number from 0 to 65535"),
        ("DATABASE__SQLITE_SYNCHRONOUS", "OFF", "one of FULL, NORMAL"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(home: Path, variable: str, text: str, told: str) -> None:
    (problem,) = problems_of(home, {f"CLOCKMILL__{variable}": text})

    assert f"is {text!r}, but must be {told}." in problem


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:8080", "must be an address such as https://"),
        ("ftp://mill", "must be an address such as https://"),
        ("http://", "must be an address such as https://"),
        ("https://mill/sub", "must end with the host or its port"),
        ("https://mill:80 ", "must end with the host or its port"),
        ("https://me:s3cret@mill", "must hold no user and no password"),
    ],
)
def test_an_address_of_the_execution_api_that_cannot_be_asked_is_refused(home: Path, url: str, told: str) -> None:
    (problem,) = problems_of(home, {"CLOCKMILL__WORKERS__API_URL": url})

    assert told in problem
    assert "s3cret" not in problem


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("http://mill:8080", True),
        ("http://10.0.0.1/", True),
        ("https://mill", False),
        ("http://localhost:8080", False),
        ("http://127.0.0.1", False),
        ("http://[::1]:80", False),
        ("", False),
    ],
)
def test_an_address_that_others_can_listen_to_is_known(url: str, is_one: bool) -> None:
    assert api_url_problem(url) is None
    assert is_overheard(url) is is_one


@pytest.mark.parametrize("line", ["port = '80'", "port = 80.5", "port = true", "port = [80]"])
def test_the_file_must_give_the_right_type(home: Path, line: str) -> None:
    (home / "clockmill.toml").write_text(f"[webserver]\n{line}\n")

    (problem,) = problems_of(home)

    assert problem.endswith("but must be a whole number from 0 to 65535.")


def test_a_file_that_is_no_toml_is_told_with_its_line(home: Path) -> None:
    (home / "clockmill.toml").write_text("[core]\nexecutor = \n")

    (problem,) = problems_of(home)

    assert "clockmill.toml is not valid TOML" in problem
    assert "line 2" in problem


def test_a_whole_number_serves_where_a_fraction_is_allowed(home: Path) -> None:
    (home / "clockmill.toml").write_text("[scheduler]\nkill_grace_seconds = 2\n")

    assert config.load(home, environ={}).scheduler.kill_grace_seconds == 2.0


def test_relative_folders_are_taken_from_the_home(home: Path, tmp_path: Path) -> None:
    near = config.load(home, {"core.dags_folder": "flows"}, {})
    far = config.load(home, {"core.dags_folder": str(tmp_path)}, {})

    assert near.dags_folder == home / "flows"
    assert far.dags_folder == tmp_path


def test_the_home_is_the_argument_then_the_variable_then_the_user_folder(tmp_path: Path) -> None:
    assert config.find_home(tmp_path, {"CLOCKMILL_HOME": "/elsewhere"}) == tmp_path
    assert config.find_home(None, {"CLOCKMILL_HOME": "/elsewhere"}) == Path("/elsewhere")
    assert config.find_home(None, {}) == Path("~/.clockmill").expanduser()


def test_an_unknown_override_is_refused(home: Path) -> None:
    assert problems_of(home, overrides={"webserver.prt": "1"}) == [
        "There is no option 'webserver.prt'. Did you mean 'webserver.port'?"
    ]


def test_a_secret_may_stand_in_a_file_and_a_line_end_is_no_part_of_it(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql+psycopg://mill:secret@db/mill\n")

    settings = config.load(home, environ={"CLOCKMILL__DATABASE__URL_FILE": str(file)})

    assert settings.database_url == "postgresql+psycopg://mill:secret@db/mill"
    assert settings.sources["database.url"] is Source.ENVIRONMENT


def test_a_secret_in_a_file_is_checked_like_any_other_and_never_shown(home: Path, tmp_path: Path) -> None:
    (tmp_path / "short").write_text("fifteen letters")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff")

    told = problems_of(
        home,
        {
            "CLOCKMILL__CELERY__BROKER_URL_FILE": str(tmp_path / "empty"),
            "CLOCKMILL__DATABASE__URL_FILE": str(tmp_path / "none"),
            "CLOCKMILL__WORKERS__SECRET_FILE": str(tmp_path / "short"),
            "CLOCKMILL__WEBSERVER__HOST_FILE": str(tmp_path / "short"),
        },
    )

    assert told == [
        f"CLOCKMILL__CELERY__BROKER_URL_FILE: {tmp_path}/empty is empty.",
        f"CLOCKMILL__DATABASE__URL_FILE: {tmp_path}/none cannot be read: No such file or directory.",
        "The environment variable CLOCKMILL__WEBSERVER__HOST_FILE sets no option. "
        "Did you mean 'CLOCKMILL__WEBSERVER__HOST'?",
        "CLOCKMILL__WORKERS__SECRET_FILE: [workers] secret must have at least 16 characters.",
    ]
    assert problems_of(home, {"CLOCKMILL__WORKERS__SECRET_FILE": str(tmp_path / "binary")}) == [
        f"CLOCKMILL__WORKERS__SECRET_FILE: {tmp_path}/binary cannot be read: it is no text in UTF-8."
    ]


def test_a_secret_and_the_file_of_it_are_not_both_taken(home: Path, tmp_path: Path) -> None:
    environ = {"CLOCKMILL__WORKERS__SECRET": "x" * 16, "CLOCKMILL__WORKERS__SECRET_FILE": str(tmp_path / "none")}

    assert problems_of(home, environ) == [
        "CLOCKMILL__WORKERS__SECRET and CLOCKMILL__WORKERS__SECRET_FILE both set [workers] secret: keep one of them."
    ]
