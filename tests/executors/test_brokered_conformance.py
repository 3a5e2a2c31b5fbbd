"""The brokered executor of the example package does what each has to; its own tests say how."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "clockmill-executor-board"

spec = spec_from_file_location("test_board", EXAMPLE / "tests" / "test_board.py")
assert spec is not None and spec.loader is not None
its_tests = module_from_spec(spec)
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(EXAMPLE)
    spec.loader.exec_module(its_tests)

TestBoardExecutor = its_tests.TestBoardExecutor
