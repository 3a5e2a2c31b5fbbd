"""The DAGs in the database follow the files in the folder."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clockmill.bundles import Bundle, BundleStore
from clockmill.storage import bundles

Source = Callable[..., str]


def test_a_file_becomes_a_dag_with_a_version(any_station: Any, dag_source: Source) -> None:
    any_station.write("sales.py", dag_source("sales", "schedule='0 6 * * *', tags=['a', 'b'], description='Sells'"))
    any_station.look()
    (row,) = any_station.rows("SELECT dag_id, file, is_active, is_paused, schedule, description FROM dag")
    assert row == ("sales", "sales.py", True, False, "0 6 * * *", "Sells")
    assert any_station.versions("sales") == 1
    assert any_station.events("dag_version") == ["sales"]
    assert len(any_station.wakes) == 1


def test_nothing_is_parsed_or_written_when_nothing_changed_also_after_a_restart(
    any_station: Any, dag_source: Source
) -> None:
    any_station.write("sales.py", dag_source("sales"))
    any_station.look()
    parsed = any_station.rows("SELECT parsed_at FROM parsed_file")
    any_station.clock.advance(100)
    any_station.look()
    any_station.processor()
    any_station.look()
    assert any_station.rows("SELECT parsed_at FROM parsed_file") == parsed
    assert len(any_station.wakes) == 1


def test_an_edit_that_changes_nothing_of_the_document_still_makes_a_version_for_the_code(
    any_station: Any, dag_source: Source
) -> None:
    any_station.write("sales.py", dag_source("sales"))
    any_station.look()
    any_station.write("sales.py", dag_source("sales") + "# better\n")
    any_station.look()
    assert any_station.versions("sales") == 2
    numbers = any_station.rows("SELECT v.number FROM dag d JOIN dag_version v ON v.id = d.version_id")
    assert numbers == [(2,)]


def test_another_file_makes_no_version_of_a_dag(any_station: Any, dag_source: Source) -> None:
    any_station.write("sales.py", dag_source("sales"))
    any_station.look()
    any_station.write("other.py", dag_source("other"))
    any_station.write("data.csv", "1,2")
    any_station.look()
    assert any_station.versions("sales") == 1
    assert any_station.active() == ["other", "sales"]


def test_a_broken_file_is_told_and_changes_nothing_of_the_dags_that_it_had(
    any_station: Any, dag_source: Source
) -> None:
    any_station.write("sales.py", dag_source("sales"))
    any_station.look()
    before = any_station.rows("SELECT version_id, is_active, next_tick FROM dag")
    any_station.write("sales.py", "from clockmill import DAG\nDAG(\n")
    any_station.look()
    (error,) = any_station.rows("SELECT file, line, message FROM import_error")
    assert error[:2] == ("sales.py", 2)
    assert any_station.rows("SELECT version_id, is_active, next_tick FROM dag") == before
    any_station.write("sales.py", dag_source("sales"))
    any_station.look()
    assert any_station.errors() == {}
    assert any_station.versions("sales") == 1


def test_a_missing_file_deactivates_its_dags_and_its_return_brings_them_back(
    any_station: Any, dag_source: Source
) -> None:
    path = any_station.write("sales.py", dag_source("sales"))
    any_station.write("other.py", dag_source("other"))
    any_station.look()
    path.unlink()
    any_station.look()
    assert any_station.active() == ["other"]
    assert any_station.events("dag_deactivated") == ["sales"]
    any_station.write("sales.py", dag_source("sales"))
    any_station.look()
    assert any_station.active() == ["other", "sales"]
    assert any_station.versions("sales") == 1


def test_an_empty_or_missing_folder_deactivates_nothing(station: Any, dag_source: Source) -> None:
    path = station.write("sales.py", dag_source("sales"))
    station.look()
    path.unlink()
    station.look()
    assert station.active() == ["sales"]
    shutil.rmtree(station.folder)
    station.look()
    assert station.active() == ["sales"]
    assert "cannot be read" in station.errors()["."]
    station.write("sales.py", dag_source("sales"))
    station.look()
    assert station.errors() == {}


def test_a_dag_that_its_file_no_longer_defines_is_deactivated(station: Any, dag_source: Source) -> None:
    station.write("two.py", dag_source("first") + dag_source("second").replace("as dag", "as dag2"))
    station.look()
    assert station.active() == ["first", "second"]
    station.write("two.py", dag_source("second"))
    station.look()
    assert station.active() == ["second"]


def test_the_first_file_keeps_a_dag_id_and_the_other_is_told_its_name(any_station: Any, dag_source: Source) -> None:
    any_station.write("a.py", dag_source("same"))
    any_station.write("b.py", dag_source("same", "description='second'") + dag_source("own").replace("dag:", "dag2:"))
    any_station.look()
    assert any_station.active() == ["own", "same"]
    assert any_station.rows("SELECT file FROM dag WHERE dag_id = 'same'") == [("a.py",)]
    assert "'same' is defined in a.py already" in any_station.errors()["b.py"]


def test_a_file_that_came_first_keeps_its_dag_id_whatever_its_name(station: Any, dag_source: Source) -> None:
    station.write("z.py", dag_source("same"))
    station.look()
    station.write("a.py", dag_source("same"))
    station.look()
    assert station.rows("SELECT file FROM dag") == [("z.py",)]
    assert list(station.errors()) == ["a.py"]


def test_the_second_file_takes_over_when_the_first_is_gone(station: Any, dag_source: Source) -> None:
    first = station.write("a.py", dag_source("same"))
    station.write("b.py", dag_source("same"))
    station.look()
    first.unlink()
    station.look()
    assert station.rows("SELECT file, is_active FROM dag") == [("b.py", 1)]
    assert station.errors() == {}


@pytest.mark.parametrize(("old", "new"), [("a.py", "b.py"), ("b.py", "a.py")])
def test_a_dag_moves_to_another_file_that_was_there_already(
    station: Any, dag_source: Source, old: str, new: str
) -> None:
    station.write(old, dag_source("moving") + dag_source("left").replace("dag:", "dag2:"))
    station.write(new, dag_source("right"))
    station.look()
    station.write(old, dag_source("left"))
    station.write(new, dag_source("right") + dag_source("moving").replace("dag:", "dag2:"))
    station.look()
    assert station.rows("SELECT file, is_active FROM dag WHERE dag_id = 'moving'") == [(new, 1)]
    assert station.errors() == {}
    assert station.rows(
        "SELECT v.file FROM dag d JOIN dag_version v ON v.id = d.version_id AND d.dag_id = 'moving'"
    ) == [(new,)]


def test_two_files_exchange_their_dags(station: Any, dag_source: Source) -> None:
    station.write("a.py", dag_source("one"))
    station.write("b.py", dag_source("two"))
    station.look()
    station.write("a.py", dag_source("two"))
    station.write("b.py", dag_source("one"))
    station.look()
    assert station.rows("SELECT dag_id, file, is_active FROM dag ORDER BY 1") == [
        ("one", "b.py", 1),
        ("two", "a.py", 1),
    ]
    assert station.errors() == {}


def test_a_renamed_file_keeps_its_dag_active(station: Any, dag_source: Source) -> None:
    path = station.write("z.py", dag_source("sales"))
    station.look()
    path.rename(station.folder / "a.py")
    station.look()
    assert station.rows("SELECT file, is_active FROM dag") == [("a.py", 1)]


def test_a_dag_that_somebody_deleted_comes_back_with_its_file(station: Any, dag_source: Source) -> None:
    station.write("sales.py", dag_source("sales"))
    station.look()
    for statement in ("UPDATE dag SET version_id = NULL", "DELETE FROM dag_version", "DELETE FROM dag"):
        station.db.write(lambda c, s=statement: c.exec_driver_sql(s) and None)
    station.look()
    assert station.active() == ["sales"]


def test_new_dags_are_active_unless_they_or_the_settings_say_otherwise(station: Any, dag_source: Source) -> None:
    station.write("a.py", dag_source("asks", "is_paused_upon_creation=True"))
    station.write("b.py", dag_source("plain"))
    station.look()
    assert station.rows("SELECT dag_id, is_paused FROM dag ORDER BY 1") == [("asks", 1), ("plain", 0)]
    station.overrides["core.dags_are_paused_at_creation"] = "true"
    station.processor()
    station.write("c.py", dag_source("later"))
    station.write("d.py", dag_source("refuses", "is_paused_upon_creation=False"))
    station.write("b.py", dag_source("plain", "description='an edit'"))
    station.look()
    paused = dict(station.rows("SELECT dag_id, is_paused FROM dag"))
    assert paused == {"asks": 1, "plain": 0, "later": 1, "refuses": 0}


def test_the_examples_are_a_source_of_their_own(station: Any) -> None:
    station.overrides["core.load_examples"] = "true"
    station.write("mine.py", "from clockmill import DAG\ndag = DAG('mine')\n")
    station.look()
    sources = dict(station.rows("SELECT source, count(*) FROM dag GROUP BY source"))
    assert sources["dags"] == 1
    assert sources["examples"] >= 5
    assert station.errors() == {}
    station.overrides["core.load_examples"] = "false"
    station.processor()
    station.look()
    assert station.active() == ["mine"]


def test_a_folder_that_is_too_large_is_told_and_changes_nothing(station: Any, dag_source: Source) -> None:
    station.overrides["dags.max_bundle_mb"] = "1"
    station.write("sales.py", dag_source("sales"))
    station.look()
    huge = station.write("huge.csv", "x" * 2_000_000)
    station.write("sales.py", dag_source("sales", "description='an edit'"))
    station.look()
    assert "huge.csv (1.9 MiB)" in station.errors()["."]
    assert station.versions("sales") == 1
    huge.unlink()
    station.look()
    assert station.errors() == {}
    assert station.versions("sales") == 2


def test_a_file_is_parsed_again_after_the_interval_that_it_asks_for(station: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("one")
    station.write(
        "reads.py",
        f"from clockmill import DAG\ntext = open({str(outside)!r}).read()\n"
        "dag = DAG('reads', description=text, reparse=60)\n",
    )
    station.look()
    outside.write_text("two")
    station.clock.advance(59)
    station.look()
    assert station.rows("SELECT description FROM dag") == [("one",)]
    station.clock.advance(1)
    station.look()
    assert station.rows("SELECT description FROM dag") == [("two",)]
    assert station.versions("reads") == 2


def test_every_file_is_parsed_again_after_the_interval_of_the_settings(station: Any, dag_source: Source) -> None:
    station.overrides["dags.reparse_interval_seconds"] = "300"
    station.write("sales.py", dag_source("sales"))
    station.look()
    first = station.rows("SELECT parsed_at FROM parsed_file")
    station.clock.advance(300)
    station.look()
    assert station.rows("SELECT parsed_at FROM parsed_file") != first
    assert station.versions("sales") == 1


def test_files_that_were_read_from_the_snapshot_see_the_read_only_copy(station: Any) -> None:
    station.write("where.py", "from clockmill import DAG\ndag = DAG('where', description=__file__)\n")
    station.look()
    ((shown,),) = station.rows("SELECT description FROM dag")
    assert Path(shown).parent.parent == station.settings().bundles_folder
    assert Path(shown).read_text() == (station.folder / "where.py").read_text()


def test_another_machine_materialises_the_bundle_of_a_version_from_the_database(
    any_station: Any, dag_source: Source, tmp_path: Path
) -> None:
    any_station.write("sales.py", dag_source("sales"))
    any_station.write("sql/query.sql", "SELECT 1")
    any_station.look()
    ((bundle_hash,),) = any_station.rows("SELECT b.hash FROM dag_version v JOIN bundle b ON b.id = v.bundle_id")
    manifest = any_station.db.read(lambda c: bundles.load_manifest(c, bundle_hash))
    elsewhere = BundleStore(tmp_path / "elsewhere")
    folder = elsewhere.materialise(
        Bundle.from_manifest(manifest), lambda wanted: any_station.db.read(lambda c: bundles.read_contents(c, wanted))
    )
    assert (folder / "sql" / "query.sql").read_text() == "SELECT 1"
    assert folder.name == bundle_hash


def test_a_host_that_lost_its_bundles_has_them_again_before_tasks_need_them(station: Any, dag_source: Source) -> None:
    station.write("sales.py", dag_source("sales"))
    station.look()
    (bundle,) = [path for path in station.settings().bundles_folder.iterdir() if path.name != "objects"]
    shutil.rmtree(station.settings().bundles_folder)
    stop = threading.Event()
    stop.set()
    station.processor().run(stop)
    assert (bundle / "sales.py").read_text() == dag_source("sales")


def test_pruning_keeps_what_runs_and_newest_versions_need(any_station: Any, dag_source: Source, make_rows: Any) -> None:
    for number in range(4):
        any_station.write("sales.py", dag_source("sales") + f"# {number}\n")
        any_station.look()
    ids = [row[0] for row in any_station.rows("SELECT id FROM dag_version ORDER BY number")]
    make_rows(any_station.db).run(ids[1], "sales", "pinned")
    any_station.clock.advance(2 * 86400)
    any_station.processors[-1].prune()
    left = [row[0] for row in any_station.rows("SELECT id FROM dag_version ORDER BY number")]
    assert left == [ids[1], ids[3]]
    assert len(any_station.rows("SELECT id FROM bundle")) == 2
    assert len(any_station.rows("SELECT hash FROM bundle_file")) == 2
