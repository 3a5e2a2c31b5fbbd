"""Bundles on disk: read-only, complete or not there, each content once."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clockmill.bundles import Bundle, BundleIncomplete, BundleStore
from clockmill.clock import SystemClock

LATER = SystemClock().now() + timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "bundles")


def bundle_of(store: BundleStore, **files: bytes) -> Bundle:
    return Bundle({f"{name}.py": store.add(content, program=False) for name, content in files.items()})


def modes(folder: Path) -> set[str]:
    return {oct(path.stat().st_mode & 0o777) for path in (folder, *folder.rglob("*"))}


def test_a_bundle_is_a_read_only_copy(store: BundleStore) -> None:
    plain, program = store.add(b"same", program=False), store.add(b"same", program=True)
    folder = store.materialise(Bundle({"a.py": plain, "bin/run": program}))
    assert (folder / "a.py").read_bytes() == (folder / "bin" / "run").read_bytes() == b"same"
    assert modes(folder) == {"0o444", "0o555"}
    assert os.access(folder / "bin" / "run", os.X_OK)


def test_bundles_share_what_they_have_in_common(store: BundleStore) -> None:
    first = store.materialise(bundle_of(store, a=b"1", b=b"2"))
    second = store.materialise(bundle_of(store, a=b"1", b=b"3"))
    assert first != second
    assert (first / "a.py").samefile(second / "a.py")


def test_a_bundle_that_is_there_is_used(store: BundleStore, tmp_path: Path) -> None:
    bundle = bundle_of(store, a=b"1")
    folder = store.materialise(bundle)
    inode = folder.stat().st_ino
    assert BundleStore(tmp_path / "bundles").materialise(bundle).stat().st_ino == inode


def test_another_machine_fetches_what_it_lacks(store: BundleStore, tmp_path: Path) -> None:
    bundle = bundle_of(store, a=b"1", b=b"2")
    elsewhere = BundleStore(tmp_path / "elsewhere")
    elsewhere.add(b"1", program=False)
    asked: list[str] = []

    def fetch(hashes: object) -> dict[str, bytes]:
        asked.extend(hashes)  # type: ignore[call-overload]
        return {sha256: store.read(sha256) for sha256 in asked}

    folder = elsewhere.materialise(Bundle.from_manifest(bundle.manifest), fetch)
    assert (folder / "b.py").read_bytes() == b"2"
    assert asked == [bundle.files["b.py"].sha256]


def test_a_content_that_is_nowhere_is_told_by_its_path(store: BundleStore, tmp_path: Path) -> None:
    bundle = bundle_of(store, a=b"1")
    elsewhere = BundleStore(tmp_path / "elsewhere")
    with pytest.raises(BundleIncomplete, match=r"'a\.py'"):
        elsewhere.materialise(bundle, lambda _hashes: {})
    assert not elsewhere.path(bundle.hash).exists()


def test_a_content_that_was_damaged_or_exchanged_on_its_way_is_not_taken(store: BundleStore, tmp_path: Path) -> None:
    bundle = bundle_of(store, a=b"print(1)")
    elsewhere = BundleStore(tmp_path / "elsewhere")
    with pytest.raises(BundleIncomplete, match=r"'a\.py'"):
        elsewhere.materialise(bundle, lambda hashes: dict.fromkeys(hashes, b"print(2)"))
    folder = elsewhere.materialise(bundle, lambda hashes: dict.fromkeys(hashes, b"print(1)"))
    assert (folder / "a.py").read_bytes() == b"print(1)"


@pytest.mark.parametrize("path", ["../outside.py", "/outside.py", "a/../../outside.py", "a//b.py", "."])
def test_no_file_of_a_bundle_lies_outside_of_it(store: BundleStore, tmp_path: Path, path: str) -> None:
    bundle = Bundle({path: store.add(b"1", program=False)})
    with pytest.raises(BundleIncomplete, match="lies outside of it"):
        store.materialise(bundle)
    assert not list(tmp_path.rglob("outside.py"))


def test_a_copy_that_lost_its_contents_is_made_again(store: BundleStore, tmp_path: Path) -> None:
    bundle = bundle_of(store, a=b"content")
    folder = store.materialise(bundle)
    (folder / "a.py").chmod(0o600)
    (folder / "a.py").write_bytes(b"")  # as after a power failure: the object is the same file
    again = BundleStore(tmp_path / "bundles").materialise(bundle, lambda hashes: dict.fromkeys(hashes, b"content"))
    assert (again / "a.py").read_bytes() == b"content"


def test_pruning_keeps_what_is_asked_for_and_what_is_new(store: BundleStore) -> None:
    kept, gone = bundle_of(store, a=b"1", b=b"2"), bundle_of(store, a=b"1", c=b"3")
    store.materialise(kept)
    store.materialise(gone)
    assert store.prune({kept.hash}, before=datetime(2000, 1, 1, tzinfo=UTC)) == []
    assert store.prune({kept.hash}, before=LATER) == [gone.hash]
    assert (store.path(kept.hash) / "b.py").read_bytes() == b"2"
    assert not store.path(gone.hash).exists()
    with pytest.raises(FileNotFoundError):
        store.read(gone.files["c.py"].sha256)
    assert store.read(gone.files["a.py"].sha256) == b"1"
