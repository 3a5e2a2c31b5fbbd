"""Where the classes of triggers come from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from clockmill.storage.triggers import WaitingTrigger
from clockmill.triggerer.code import TriggerCode
from clockmill.xcom import encode

HELPER = """
from dataclasses import dataclass
from clockmill.triggers import BaseTrigger

@dataclass
class Size:
    n: int

class Mine(BaseTrigger):
    version = {version}
    def __init__(self, size=None):
        self.size = size
    async def run(self):
        yield None
"""
DAG_FILE = """
from helper import Mine
from clockmill import DAG
print("imported")

class InTheFile(Mine):
    pass

with DAG("d", schedule=None):
    pass
"""


@pytest.fixture
def code(tmp_path: Path) -> TriggerCode:
    for version in (1, 2):
        folder = tmp_path / f"bundle{version}"
        (folder / "sub").mkdir(parents=True)
        (folder / "helper.py").write_text(HELPER.format(version=version))
        (folder / "sub" / "dag.py").write_text(DAG_FILE)
    return TriggerCode(lambda name: tmp_path / name)


def waiting(class_path: str, bundle: str = "bundle1", kwargs: str = "{}") -> WaitingTrigger:
    return WaitingTrigger(id=1, class_path=class_path, kwargs=kwargs, bundle=bundle, file="sub/dag.py", name="d/r/t")


def test_each_bundle_has_modules_of_its_own_and_none_stays_in_the_way(code: TriggerCode) -> None:
    before = set(sys.modules), list(sys.path)
    made: list[Any] = [code.make(waiting("helper.Mine", bundle)) for bundle in ("bundle1", "bundle2", "bundle1")]
    assert [each.version for each in made] == [1, 2, 1]
    assert type(made[0]) is type(made[2])
    assert "helper" not in sys.modules
    assert (set(sys.modules), list(sys.path)) == before


def test_modules_that_others_import_meanwhile_do_no_harm(code: TriggerCode, monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            if name == "__file__":
                monkeypatch.setitem(sys.modules, f"imported_meanwhile_{len(sys.modules)}", ModuleType("m"))
            return super().__getattribute__(name)

    monkeypatch.setitem(sys.modules, "lazy", Lazy("lazy"))
    made: Any = code.make(waiting("helper.Mine"))
    assert made.version == 1


def test_a_class_in_the_dag_file_is_found_under_the_name_that_a_task_knows_and_imported_once(
    code: TriggerCode, capsys: pytest.CaptureFixture[str]
) -> None:
    first: Any = code.make(waiting("clockmill_dag_dag.InTheFile"))
    second: Any = code.make(waiting("clockmill_dag_dag.InTheFile"))
    assert type(first) is type(second)
    assert first.version == 1
    assert capsys.readouterr().out == "imported\n"


def test_an_argument_may_be_of_a_class_of_the_author(code: TriggerCode) -> None:
    made: Any = code.make(waiting("helper.Mine"))
    size = sys.modules.get("helper")
    assert size is None
    cls = type(made).__init__.__globals__["Size"]
    sys.modules["helper"] = type(sys)("helper")
    sys.modules["helper"].Size = cls  # type: ignore[attr-defined]
    try:
        text = encode({"size": cls(3)})
    finally:
        del sys.modules["helper"]
    again: Any = code.make(waiting("helper.Mine", kwargs=text))
    assert again.size == cls(3)


def test_what_is_no_trigger_is_refused(code: TriggerCode) -> None:
    with pytest.raises(TypeError, match=r"helper\.Size is no trigger: it has no method run"):
        code.make(waiting("helper.Size", kwargs=json.dumps({"n": 1})))
