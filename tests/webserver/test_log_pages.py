"""Task logs: as text, a piece at a time, and never from outside their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.logs import reader
from clockmill.logs.merged import Cursor, file_log
from clockmill.webserver import logtail

PAGE = "/dags/weather/runs/one/tasks/extract"
STAMP = "2026-01-31T06:00:00.123456+00:00 "


@pytest.fixture
def task(seed: Any) -> tuple[int, int]:
    """The row ids of a run and its running task."""
    seed.dag("weather", {"extract": []})
    run = seed.run("weather", "one", "running")
    task = seed.task(run, "extract", "running", try_number=1)
    seed.attempt(run, task, 1, "running")
    return run, task


@pytest.mark.usefixtures("task")
def test_a_log_shows_without_colours_and_as_text(client: FlaskClient, seed: Any) -> None:
    seed.log("weather", "one", "extract", f"{STAMP}\x1b[31;1mred\x1b[0m <b>bold</b> \x1b]0;title\x07\x00end\n")

    text = client.get(PAGE).text

    assert '<time title="2026-01-31T06:00:00.123456+00:00">06:00:00.123</time>' in text
    assert "red &lt;b&gt;bold&lt;/b&gt; end" in text


@pytest.mark.usefixtures("task")
def test_a_growing_log_is_given_out_in_whole_lines_and_never_twice(client: FlaskClient, seed: Any) -> None:
    seed.log("weather", "one", "extract", "first\nsec")

    answer = client.get(f"{PAGE}/log?try=1&offset=0")
    assert answer.mimetype == "text/plain"
    assert answer.text == "first\n"
    assert "X-Log-Complete" not in answer.headers
    offset = answer.headers["X-Log-Offset"]
    assert client.get(f"{PAGE}/log?try=1&offset={offset}").text == ""

    seed.log("weather", "one", "extract", "ond é\n")
    assert client.get(f"{PAGE}/log?try=1&offset={offset}").text == "second é\n"


def test_the_end_of_a_log_is_told_once_the_try_is_over(client: FlaskClient, seed: Any) -> None:
    seed.dag("weather", {"extract": []})
    run = seed.run("weather", "one")
    seed.attempt(run, seed.task(run, "extract", "success", try_number=1))
    seed.log("weather", "one", "extract", "all\nwithout an end")

    answer = client.get(f"{PAGE}/log?try=1&offset=4")

    assert answer.text == "without an end"
    assert answer.headers["X-Log-Complete"] == "1"
    assert "data-log" not in client.get(PAGE).text


@pytest.mark.usefixtures("task")
def test_a_log_that_is_not_there_yet_is_empty_not_an_error(client: FlaskClient) -> None:
    answer = client.get(f"{PAGE}/log?try=1&offset=0")

    assert answer.status_code == 200
    assert answer.text == ""
    assert client.get(f"{PAGE}/log?try=7").status_code == 404


@pytest.mark.usefixtures("task")
def test_of_a_large_log_the_page_shows_the_end_and_offers_all(client: FlaskClient, seed: Any) -> None:
    seed.log("weather", "one", "extract", "".join(f"line {number}\n" for number in range(60_000)))

    text = client.get(PAGE).text

    assert "line 59999" in text
    assert "line 1000\n" not in text
    assert len(text) < 4 * reader.CHUNK_BYTES
    whole = client.get(f"{PAGE}/log?try=1", buffered=True)
    assert whole.headers["Content-Disposition"].startswith("attachment")
    assert whole.mimetype == "text/plain"
    assert whole.text.count("\n") == 60_000


@pytest.mark.usefixtures("task")
def test_a_link_out_of_the_folder_is_not_followed(client: FlaskClient, logs: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "1.log").write_text("password")
    folder = logs / "weather" / "one" / "extract"
    folder.mkdir(parents=True)
    (folder / "-1").symlink_to(secret)

    for address in (PAGE, f"{PAGE}/log?try=1", f"{PAGE}/log?try=1&offset=0"):
        answer = client.get(address)
        assert answer.status_code == 400
        assert "password" not in answer.text


@pytest.mark.usefixtures("task")
@pytest.mark.parametrize(
    "query", ["try=0", "try=-1", "try=x", "try=../1", "try=1&offset=-1", "try=1&offset=1e3", "try=" + "9" * 30]
)
def test_numbers_that_are_none_are_refused(client: FlaskClient, query: str) -> None:
    assert client.get(f"{PAGE}/log?{query}").status_code == 400


@pytest.mark.usefixtures("task")
def test_an_offset_beyond_the_end_gives_nothing(client: FlaskClient, seed: Any) -> None:
    seed.log("weather", "one", "extract", "short\n")

    assert client.get(f"{PAGE}/log?try=1&offset=99999999").text == ""


@settings(derandomize=True, max_examples=200)
@given(st.text())
def test_whatever_a_task_prints_no_control_character_is_left(text: str) -> None:
    left = logtail.plain(text)

    assert not [char for char in left if (ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0]
    assert not set(left) & set("‪‫‬‭‮⁦⁧⁨⁩")


@settings(derandomize=True, max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), max_size=40), max_size=30), st.integers(1, 64))
def test_the_pieces_of_a_log_together_are_all_of_it(
    tmp_path_factory: pytest.TempPathFactory, written: list[str], limit: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "1.log"
    path.write_bytes("".join(f"{line}\n" for line in written).encode())

    found, at = b"", Cursor()
    while at.offset < path.stat().st_size:
        chunk = reader.read_chunk(file_log(path), at, growing=True, limit=limit)
        assert chunk.next > at
        found += path.read_bytes()[at.offset : chunk.next.offset]
        at = chunk.next

    assert found == path.read_bytes()
