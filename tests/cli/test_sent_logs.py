"""``tasks logs`` of tries on other machines, whose workers send what they write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clockmill import config
from clockmill.cli.app import App
from clockmill.cli.task_logs import logs
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.testing.clock import FakeClock

FIRST, SECOND = f"{1:032x}", f"{2:032x}"


class Sent:
    """A try of ``d/r/t`` that ran on two workers, and what they sent to this home."""

    def __init__(self, home: Path, make_rows: Any) -> None:
        self.home = home
        self.clock = FakeClock()
        self.folder = home / "logs" / "d" / "r" / "t" / "-1" / "1"
        self.folder.mkdir(parents=True)
        database = Database(f"sqlite:///{home / 'clockmill.db'}", synchronous="OFF")
        rows = make_rows(database)
        run = rows.run(rows.dag("d"), "d", "r", "success")
        task = rows.task(run, "t", "success", try_number=1)
        for ident, host in ((FIRST, "far-1"), (SECOND, "far-2")):
            told = {"boot_id": "b", "pid": 1, "slots": 1, "epoch": 0, "started_at": rows.start}
            rows.add(tables.supervisor, id=f"w-{ident}", executor="celery", host=host, **told)
            rows.attempt(run, task, ident, "success", supervisor_id=f"w-{ident}", claimed_at=rows.start)
        database.close()

    def configure(self, remote: str) -> None:
        config.load(self.home)
        (self.home / "clockmill.toml").write_text(f'[logs]\nremote = "{remote}"\n')

    def print(self, *arguments: str) -> Result:
        app = App(home=self.home, clock=self.clock)
        result = CliRunner().invoke(logs, ["d", "r", "t", *arguments], obj=app, prog_name="clockmill")
        app.database.close()
        return result


@pytest.fixture
def sent(program: Any, make_rows: Any) -> Sent:
    return Sent(program.home, make_rows)


def test_the_parts_are_printed_in_order_with_a_word_about_what_is_missing(sent: Sent) -> None:
    sent.configure("api")
    (sent.folder / f"{SECOND}.log").write_text("second\n")
    (sent.folder / f"{FIRST}.part").write_text("first\n")
    result = sent.print()
    assert result.stdout == "first\nsecond\n"
    assert result.stderr == "*** there is more of this log on far-1, which has not sent it yet\n"
    (sent.folder / f"{FIRST}.part").rename(sent.folder / f"{FIRST}.log")
    result = sent.print()
    assert (result.stdout, result.stderr) == ("first\nsecond\n", "")


def test_following_ends_when_all_is_here(sent: Sent) -> None:
    sent.configure("api")
    for ident in (FIRST, SECOND):
        (sent.folder / f"{ident}.log").write_text(f"{ident[-1]}\n")
    assert sent.print("--follow").stdout == "1\n2\n"
    assert sent.clock.slept == []


def test_following_waits_half_a_minute_for_the_end_and_says_so(sent: Sent) -> None:
    sent.configure("api")
    (sent.folder / f"{FIRST}.log").write_text("first\n")
    result = sent.print("--follow")
    assert result.stdout == "first\n"
    assert sum(sent.clock.slept) == pytest.approx(30, abs=0.3)
    assert "more of this log on far-2" in result.stderr


@pytest.mark.parametrize(
    ("remote", "why"),
    [("api", "nothing of it has been sent yet"), ("", "[logs] remote does not say where it is sent")],
)
def test_a_log_of_which_nothing_is_here_is_told_with_its_host(sent: Sent, remote: str, why: str) -> None:
    sent.configure(remote)
    result = sent.print()
    assert result.exit_code == 1
    assert str(result.exception) == f"There is no log of try 1 of the task 't' here: it ran on far-2, and {why}."


def test_a_store_is_read_too(sent: Sent) -> None:
    from clockmill.logs.store import LogStore

    url = f"file://{sent.home}/mounted"
    sent.configure(url)
    store = LogStore(url)
    store.add("d/r/t/-1/1", SECOND, 0, b"second\n")
    (sent.home / "whole").write_bytes(b"first\n")
    store.finish("d/r/t/-1/1", FIRST, sent.home / "whole", tidy=False)
    assert sent.print().stdout == "first\nsecond\n"


def test_passwords_of_stores_are_masked_and_not_in_the_url(program: Any, sent: Sent) -> None:
    (sent.home / "clockmill.toml").write_text(
        """[logs]\nremote = "s3://b"\nstorage_options = '{"secret": "s3cr3t"}'\n"""
    )
    shown = program.ok("config", "list", "--section", "logs")
    assert "s3://b" in shown
    assert "s3cr3t" not in shown
    assert "s3cr3t" in program.ok("config", "get-value", "logs", "storage_options", "--show-secrets")
    (sent.home / "clockmill.toml").write_text('[logs]\nremote = "sftp://me:s3cr3t@host/logs"\n')
    told = program.refused("config", "list")
    assert "must hold no password" in told
    assert "s3cr3t" not in told
    for bad in ("sftp:/me:s3cr3t@host", "SFTP://me:s3/cr3t@host/logs", "me:s3cr3t@host"):
        (sent.home / "clockmill.toml").write_text(f'[logs]\nremote = "{bad}"\n')
        told = program.refused("config", "list")
        assert "***@host" in told
        assert "cr3t" not in told
    (sent.home / "clockmill.toml").write_text('[logs]\nremote = "API"\n')
    assert "must be api, the URL of a store such as s3://BUCKET/PREFIX, or empty." in program.refused("config", "list")
    (sent.home / "clockmill.toml").write_text('[logs]\nstorage_options = "[1]"\n')
    assert "must be a JSON object" in program.refused("config", "list")
