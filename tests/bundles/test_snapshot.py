"""What goes into a snapshot of a DAG folder, and when it is taken."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from clockmill.bundles import Bundle, BundleStore, BundleTooLarge, FolderBusy, Snapshotter
from clockmill.clock import SystemClock


class EditingClock(SystemClock):
    """A clock that never sleeps; somebody else works in the folder meanwhile."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        return super().now()

    def sleep(self, seconds: float) -> None:
        self.meanwhile()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    return tmp_path / "dags"


@pytest.fixture
def clock() -> EditingClock:
    return EditingClock()


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "bundles")


@pytest.fixture
def snapshotter(folder: Path, store: BundleStore, clock: EditingClock) -> Snapshotter:
    return Snapshotter(folder, store, clock, max_mb=1)


def write(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_every_file_is_in_it_not_only_python(folder: Path, snapshotter: Snapshotter) -> None:
    write(folder / "a.py")
    write(folder / "sql" / "query.sql")
    write(folder / "data.csv")
    snapshot = snapshotter.take()
    assert set(snapshot.bundle.files) == {"a.py", "sql/query.sql", "data.csv"}
    assert snapshot.is_healthy


def test_what_is_no_source_is_left_out(folder: Path, snapshotter: Snapshotter) -> None:
    write(folder / "a.py")
    for path in (".git/config", "__pycache__/a.pyc", "venv/pyvenv.cfg", "venv/lib/b.py", "a.py~", ".a.py.swp"):
        write(folder / path)
    assert set(snapshotter.take().bundle.files) == {"a.py"}


def test_an_ignore_file_speaks_as_gitignore_does(folder: Path, snapshotter: Snapshotter) -> None:
    write(folder / ".clockmillignore", "*.csv\n!keep.csv\n/build/\nscratch_*.py\n")
    write(folder / "sub" / ".clockmillignore", "!needed.csv\n")
    for path in ("a.py", "x.csv", "keep.csv", "build/b.py", "sub/build/c.py", "scratch_1.py", "sub/needed.csv"):
        write(folder / path)
    assert set(snapshotter.take().bundle.files) == {
        ".clockmillignore",
        "a.py",
        "keep.csv",
        "sub/.clockmillignore",
        "sub/build/c.py",
        "sub/needed.csv",
    }


def test_links_are_followed_inside_the_folder_only(folder: Path, snapshotter: Snapshotter, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "key")
    write(folder / "real" / "a.py")
    (folder / "link").symlink_to("real")
    (folder / "b.py").symlink_to("real/a.py")
    (folder / "out.txt").symlink_to(secret)
    (folder / "outside").symlink_to(tmp_path)
    (folder / "real" / "loop").symlink_to("..")
    (folder / "nowhere").symlink_to("gone")
    assert {path for path in snapshotter.take().bundle.files if "loop" not in path} == {
        "real/a.py",
        "link/a.py",
        "b.py",
    }


def test_a_pipe_in_the_folder_does_not_stop_it(folder: Path, snapshotter: Snapshotter) -> None:
    write(folder / "a.py")
    os.mkfifo(folder / "pipe")
    assert set(snapshotter.take().bundle.files) == {"a.py"}


def test_the_same_content_is_the_same_bundle_whatever_its_times(folder: Path, snapshotter: Snapshotter) -> None:
    path = write(folder / "a.py")
    first = snapshotter.take().bundle
    os.utime(path, (1, 1))
    assert snapshotter.take().bundle is first
    write(path, "y")
    assert snapshotter.take().bundle.hash != first.hash


def test_being_a_program_is_part_of_the_content(folder: Path, snapshotter: Snapshotter) -> None:
    path = write(folder / "run.sh")
    first = snapshotter.take().bundle
    path.chmod(0o755)
    second = snapshotter.take().bundle
    assert (first.files["run.sh"].mode, second.files["run.sh"].mode) == (0o644, 0o755)


def test_a_file_that_grows_while_it_is_looked_at_is_taken_when_it_is_whole(
    folder: Path, snapshotter: Snapshotter, clock: EditingClock, store: BundleStore
) -> None:
    path = write(folder / "a.py", "half")
    rest = [" and", " half"]

    def meanwhile() -> None:
        if rest:
            path.write_text(path.read_text() + rest.pop(0))

    clock.meanwhile = meanwhile
    entry = snapshotter.take().bundle.files["a.py"]
    assert store.read(entry.sha256) == b"half and half"


def test_a_folder_that_never_rests_is_left_for_later(
    folder: Path, snapshotter: Snapshotter, clock: EditingClock
) -> None:
    path = write(folder / "a.py", "")
    clock.meanwhile = lambda: path.write_text(path.read_text() + "x") and None
    with pytest.raises(FolderBusy, match="changes all the time"):
        snapshotter.take()


def test_a_second_write_within_the_same_tick_of_the_file_system_is_seen(folder: Path, snapshotter: Snapshotter) -> None:
    path = write(folder / "a.py", "aaaa")
    before = path.stat()
    first = snapshotter.take().bundle
    path.write_text("bbbb")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert snapshotter.take().bundle.hash != first.hash


def test_an_unchanged_file_is_not_read_again(folder: Path, store: BundleStore, tmp_path: Path) -> None:
    class Later(EditingClock):
        def now(self) -> datetime:
            return super().now().replace(year=2100)

    snapshotter = Snapshotter(folder, store, Later(), max_mb=1)
    a, _ = write(folder / "a.py", "a"), write(folder / "b.py", "b")
    entry = snapshotter.take().bundle.files["b.py"]
    (tmp_path / "bundles" / "objects" / entry.sha256[:2] / entry.sha256).unlink()
    write(a, "changed")
    assert snapshotter.take().bundle.files["b.py"] == entry
    with pytest.raises(FileNotFoundError):
        store.read(entry.sha256)


def test_too_much_is_refused_with_the_names_of_the_largest(folder: Path, snapshotter: Snapshotter) -> None:
    write(folder / "a.py")
    write(folder / "huge.csv", "x" * 900_000)
    write(folder / "big.csv", "x" * 400_000)
    with pytest.raises(BundleTooLarge, match=r"huge\.csv \(0\.9 MiB\), big\.csv \(0\.4 MiB\)") as caught:
        snapshotter.take()
    assert "max_bundle_mb" in str(caught.value)
    assert ".clockmillignore" in str(caught.value)


def test_a_missing_or_empty_folder_is_not_healthy(tmp_path: Path, store: BundleStore, folder: Path) -> None:
    missing = Snapshotter(tmp_path / "gone", store, SystemClock(), max_mb=1).take()
    assert not missing.is_healthy
    assert "The DAG folder cannot be read" in missing.problems["."]
    assert not Snapshotter(folder, store, SystemClock(), max_mb=1).take().is_healthy


def test_a_name_that_is_no_text_is_told_and_the_rest_is_taken(folder: Path, snapshotter: Snapshotter) -> None:
    write(folder / "a.py")
    (Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.py"))).write_text("x")
    snapshot = snapshotter.take()
    assert set(snapshot.bundle.files) == {"a.py"}
    assert not snapshot.is_healthy
    assert list(snapshot.problems) == ["bad\\udcff.py"]


def test_a_manifest_comes_back_as_the_same_bundle(folder: Path, snapshotter: Snapshotter) -> None:
    write(folder / "ünïcode.py")
    bundle = snapshotter.take().bundle
    assert Bundle.from_manifest(bundle.manifest).hash == bundle.hash
