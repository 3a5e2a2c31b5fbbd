"""Storing results: in batches, one by one when the database refuses one, and later when a file must be waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clockmill import serde
from clockmill.model.dag import DAG
from clockmill.parsing import keeper
from clockmill.parsing.results import Dependencies, FileError, ParsedDag, ParseResult

Source = Callable[..., str]


def result_of(file: str, *dags: DAG, errors: tuple[FileError, ...] = ()) -> ParseResult:
    parsed = tuple(ParsedDag(dag_id=dag.dag_id, document=serde.dumps(serde.encode(dag))) for dag in dags)
    return ParseResult(file=file, dags=parsed, errors=errors, dependencies=Dependencies(files=(file,)))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, ParseResult]:
    """What the parsing process is made to say of each file."""
    said: dict[str, ParseResult] = {}

    def parse(_self: Any, _root: Path, files: list[str], _is_stopped: Any, **_more: Any) -> Iterator[ParseResult]:
        return iter([said[file] for file in files])

    monkeypatch.setattr("clockmill.parsing.crew.ParsingCrew.parse", parse)
    return said


def test_a_result_comes_through_json_unchanged() -> None:
    result = result_of("a.py", DAG("a"), errors=(FileError(message="m", line=3, traceback="t", dag_id="b"),))
    assert ParseResult.from_json(result.to_json()) == result


def test_a_result_that_the_database_refuses_does_not_hold_back_the_others(
    any_station: Any, answers: dict[str, ParseResult]
) -> None:
    for name in ("a", "b", "c"):
        any_station.write(f"{name}.py", "clockmill")
        answers[f"{name}.py"] = result_of(f"{name}.py", DAG(name, description="\udcff" if name == "b" else name))
    any_station.look()
    assert any_station.active() == ["a", "c"]
    assert "cannot be stored" in any_station.errors()["b.py"]


def test_many_files_are_stored_in_several_batches_with_the_same_outcome(
    any_station: Any, answers: dict[str, ParseResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_BATCH", 7)
    for number in range(50):
        any_station.write(f"d{number:02}.py", f"clockmill {number}")
        answers[f"d{number:02}.py"] = result_of(f"d{number:02}.py", DAG(f"dag_{number:02}", schedule="@daily"))
    any_station.look()
    assert any_station.active() == [f"dag_{number:02}" for number in range(50)]
    assert any_station.rows("SELECT count(*) FROM dag d JOIN dag_version v ON v.id = d.version_id") == [(50,)]
    assert len(any_station.wakes) == 8


@pytest.mark.parametrize("batch", [1, 2, 50])
def test_dags_that_change_places_all_find_their_file_whatever_the_batches(
    station: Any, answers: dict[str, ParseResult], monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(keeper, "_BATCH", batch)
    names = ["a", "b", "c", "d"]
    for step in (0, 1, 2, 3):
        for place, name in enumerate(names):
            station.write(f"{name}.py", f"clockmill {step}")
            answers[f"{name}.py"] = result_of(f"{name}.py", DAG(names[(place + step) % 4]))
        station.look()
        files = dict(station.rows("SELECT dag_id, file FROM dag WHERE is_active"))
        assert files == {names[(place + step) % 4]: f"{name}.py" for place, name in enumerate(names)}
        assert station.errors() == {}


def test_an_error_of_one_dag_leaves_what_was_known_of_it(station: Any, answers: dict[str, ParseResult]) -> None:
    station.write("two.py", "clockmill")
    answers["two.py"] = result_of("two.py", DAG("good"), DAG("odd"))
    station.look()
    station.write("two.py", "clockmill 2")
    problem = FileError(message="DAG 'odd' cannot be stored.", line=7, dag_id="odd")
    answers["two.py"] = result_of("two.py", DAG("good", description="new"), errors=(problem,))
    station.look()
    assert station.active() == ["good", "odd"]
    assert station.errors() == {"two.py": "DAG 'odd' cannot be stored."}
    assert (station.versions("good"), station.versions("odd")) == (2, 1)


def test_the_same_import_error_keeps_the_time_at_which_it_appeared(
    station: Any, answers: dict[str, ParseResult]
) -> None:
    answers["a.py"] = result_of("a.py", errors=(FileError(message="It is broken."),))
    times = set()
    for step in range(3):
        station.write("a.py", f"clockmill {step}")
        station.clock.advance(60)
        station.look()
        times |= set(station.rows("SELECT created_at FROM import_error"))
    assert len(times) == 1
