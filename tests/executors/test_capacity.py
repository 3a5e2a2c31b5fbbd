"""What a machine offers besides slots."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clockmill import config
from clockmill.config.executors import executor_section
from clockmill.errors import ConfigError
from clockmill.executors.capacity import offered_resources
from clockmill.host import machine

GB = 1 << 30


def test_a_machine_offers_what_it_has_and_what_it_is_told() -> None:
    own = machine.resources()
    assert own["cpu"] > 0
    assert own["memory"] > 64 << 20
    assert offered_resources("there", None) == own
    assert offered_resources("there", {"gpu": 1, "memory": "12GB"}) == {**own, "gpu": 1, "memory": 12 * GB}
    assert offered_resources("there", "cpu=0, memory=1GB") == {"memory": GB}


def test_what_cannot_be_understood_names_where_it_stands() -> None:
    with pytest.raises(ConfigError, match=r"^\[executor.local\] resources has 4096 of memory: say it with a unit"):
        offered_resources("[executor.local] resources", {"memory": 4096})
    with pytest.raises(ConfigError, match="must name each resource once"):
        offered_resources("there", "gpu")


def test_the_file_and_the_environment_say_it_for_each_executor(tmp_path: Path) -> None:
    (tmp_path / "clockmill.toml").write_text("[executor.local]\nresources = { gpu = 2 }\nslots = 3\n")
    settings = config.load(tmp_path, environ={"CLOCKMILL__EXECUTOR__BATCH__RESOURCES": "gpu=1,memory=2GB"})
    assert executor_section(settings, "local").resources == {"gpu": 2}
    assert executor_section(settings, "batch").resources == "gpu=1,memory=2GB"
    assert executor_section(settings, "other").resources is None
    assert executor_section(settings, "local").slots == 3
    assert "resources" not in executor_section(settings, "local").options


@pytest.mark.parametrize(
    ("files", "cpu", "memory"),
    [
        ({"cpu.max": "150000 100000", "memory.max": "1073741824"}, 1.5, GB),
        ({"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        (
            {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000", "memory.limit_in_bytes": "536870912"},
            None,
            GB // 2,
        ),
    ],
)
def test_a_container_offers_its_share(
    files: dict[str, str], cpu: float | None, memory: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(machine, "_folders", lambda *controllers: iter([tmp_path]))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)))
    assert machine.processors() == (cpu or 64)
    assert machine.memory() == min(memory or total, total)
