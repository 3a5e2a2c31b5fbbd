"""What every trigger can do, and how its class is found again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clockmill.testing import FakeClock
from clockmill.triggers import BaseTrigger, sleep_until
from clockmill.triggers.classpath import find_class


class Pair(BaseTrigger):
    """Keeps its arguments."""

    def __init__(self, left: int, right: str = "r") -> None:
        self.left = left
        self.right = right


class Forgetful(BaseTrigger):
    """Keeps nothing."""

    def __init__(self, left: int) -> None:
        self.other = left


def test_a_trigger_tells_its_class_and_the_arguments_that_it_keeps() -> None:
    assert Pair(1).serialize() == (f"{__name__}.Pair", {"left": 1, "right": "r"})
    assert repr(Pair(1)) == "Pair(left=1, right='r')"
    with pytest.raises(AttributeError, match="left"):
        Forgetful(1).serialize()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package whose parts nobody has imported yet."""
    folder = tmp_path / "a_package" / "inner"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("from . import empty\n")
    (folder.parent / "empty.py").write_text("")
    (folder / "__init__.py").write_text("")
    (folder / "module.py").write_text("class Outer:\n    class Inner:\n        pass\nvalue = 1\n")
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "a_package"
    for name in [name for name in sys.modules if name.startswith("a_package")]:
        del sys.modules[name]


def test_a_class_is_found_in_modules_that_nobody_has_imported_yet(package: str) -> None:
    find_class(f"{package}.inner.module.Outer")
    for name in [name for name in sys.modules if name.startswith(f"{package}.inner.")]:
        del sys.modules[name]
    assert find_class(f"{package}.inner.module.Outer.Inner").__name__ == "Inner"


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("Outer", ImportError, "'Outer' is not of the form module.Class"),
        ("no_such_module.X", ModuleNotFoundError, "no_such_module"),
        ("a_package.inner.nothing.X", AttributeError, "package 'a_package.inner' has no 'nothing'"),
        ("a_package.inner.module.Missing", AttributeError, "Missing"),
        ("a_package.inner.module.value", TypeError, "'a_package.inner.module.value' is no class"),
        ("a_package.inner.broken.X", ModuleNotFoundError, "nothing_of_that_name"),
    ],
)
def test_what_cannot_be_found_is_named(package: str, path: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        find_class(path)


def test_sleeping_until_a_moment_looks_at_the_clock_on_the_wall_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        clock.advance(seconds)
        if len(naps) == 1:  # the machine was asleep for an hour
            clock.set(clock.now() + timedelta(hours=1))

    monkeypatch.setattr(asyncio, "sleep", nap)
    asyncio.run(sleep_until(clock.now() + timedelta(hours=1, seconds=90), clock))
    assert naps == [60.0, 30.0]
    asyncio.run(sleep_until(clock.now() - timedelta(seconds=1), clock))
    assert naps == [60.0, 30.0]
