"""Listing workers, and what is refused before one begins."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clockmill.cli.celery import _attend
from clockmill.clock import SystemClock
from clockmill.errors import ConfigError
from clockmill.executors.celery.executor import need_transport
from clockmill.protocols.workers import Exchange, WorkerInfo
from clockmill.storage.engine import Database
from clockmill.storage.worker_gateway import DatabaseWorkerGateway
from clockmill.testing.clock import FakeClock


@pytest.fixture
def gateway(program: Any) -> DatabaseWorkerGateway:
    database = Database(f"sqlite:///{program.home / 'clockmill.db'}")
    return DatabaseWorkerGateway(database, Path(program.home) / "run", SystemClock())


def register(gateway: DatabaseWorkerGateway, ident: str, **fields: Any) -> None:
    told: dict[str, Any] = {"executor": "celery", "host": "h1", "boot_id": "b", "pid": 7, "slots": 4, "version": "1.2"}
    gateway.register(WorkerInfo(id=ident, queues=["default", "gpu"], **(told | fields)))


def test_workers_are_listed_with_what_they_do(
    program: Any, gateway: DatabaseWorkerGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOCKMILL__WORKERS__BEAT_SECONDS", "600")  # however slow this machine is, none is silent
    for ident in ("alive", "leaving", "left", "long-gone"):
        register(gateway, ident)
    register(gateway, "alive", resources={"gpu": 1, "cpu": 2})
    gateway.exchange("alive", Exchange(beat=1, held=["a", "b"]))
    gateway.exchange("leaving", Exchange(beat=1, is_draining=True))
    gateway.exchange("left", Exchange(beat=1, held=["c"]))
    gateway._clock = FakeClock(SystemClock().now() - timedelta(days=2))
    gateway.exchange("long-gone", Exchange(beat=1))
    for ident in ("left", "long-gone"):
        gateway.leave(ident)
    gateway.close()
    found = {row["id"]: row for row in program.json("workers", "list")}
    assert {ident: (row["state"], row["busy"]) for ident, row in found.items()} == {
        "alive": ("alive", 2),
        "leaving": ("draining", 0),
        "left": ("gone", 0),
    }
    told = found["alive"]
    assert (told["executor"], told["host"], told["version"], told["slots"]) == ("celery", "h1", "1.2", 4)
    assert told["queues"] == ["default", "gpu"]
    table = program.ok("workers", "list")
    assert "default, gpu" in table
    assert "2 cpu and 1 gpu" in table
    assert table.index("alive") < table.index("left")


def test_without_workers_it_says_how_one_is_started(program: Any) -> None:
    result = program("workers", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == ("There are no workers; Celery alone needs them. Start one with: clockmill celery worker\n")
    assert program.json("workers", "list") == []


@pytest.mark.parametrize(
    ("executor", "arguments", "told"),
    [
        ("local", [], "Of the executors local none is of the kind celery: put celery into [core] executor"),
        ("local,celery", ["--executor", "celry"], "No executor of the kind celery is named 'celry'. Did you mean"),
        ("one:celery,two:celery", [], "Several executors are of the kind celery: say with --executor which, one, two."),
        ("celery", ["--queues", ","], "--queues needs the name of at least one queue."),
        ("celery", ["--queues", "a,b\nc"], "--queues: a queue must be a name without commas and line breaks"),
        ("celery", ["--resources", "gpu=many"], "--resources has 'many' of gpu: write a size as a number and a unit"),
        ("celery", ["--name", "../x"], "The worker id '../x' may hold only"),
    ],
)
def test_a_worker_that_cannot_be_is_refused_with_a_sentence(
    program: Any, monkeypatch: pytest.MonkeyPatch, executor: str, arguments: list[str], told: str
) -> None:
    monkeypatch.setenv("CLOCKMILL__CORE__EXECUTOR", executor)
    assert told in program.refused("celery", "worker", *arguments)


def test_a_broker_that_does_not_answer_holds_up_neither_the_end_of_claims_nor_a_second_signal() -> None:
    said: list[Any] = []

    class Both:
        """The worker, the broker's end of it, and the crew: two signals come, then what runs has ended."""

        signals = 0

        def wait(self) -> None:
            said.append("wait")
            self.signals += 1

        def is_working(self, name: str) -> bool:
            return "stop" not in said

        def drain(self, grace: float | None) -> None:
            said.append("drain")

        def stop(self, patience: float | None = None) -> None:
            said.append("stop" if patience is None else patience)

    both: Any = Both()
    _attend(both, both, both, None)
    assert said == ["wait", "drain", 0, "wait", "stop", "wait", 0]


def test_the_password_of_the_broker_is_not_shown(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOCKMILL__CELERY__BROKER_URL", "redis://:hidden-word@localhost/0")
    assert "hidden-word" not in program.ok("config", "list")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rediss+socket:///nowhere", None),
        ("ampq://localhost", "[celery] broker_url is of no kind that Celery knows: 'ampq'. Did you mean 'amqp'?"),
        ("localhost:6379", "[celery] broker_url is of no kind that Celery knows: ''. It begins with redis://,"),
        ("librabbitmq://localhost", "'librabbitmq', which cannot be used: No module named 'librabbitmq'."),
    ],
)
def test_a_broker_of_no_known_kind_is_refused(url: str, told: str | None) -> None:
    pytest.importorskip("celery")
    if told is None:
        need_transport(url)
        return
    with pytest.raises(ConfigError) as refused:
        need_transport(url)
    assert told in str(refused.value)


def test_where_workers_ask_a_web_server_nobody_is_told_to_make_a_database(
    program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOCKMILL__WORKERS__API_URL", "https://mill.example.org")
    (Path(program.home) / "clockmill.db").unlink()
    assert program.refused("workers", "list") == (
        "clockmill: This machine knows no database: its workers ask https://mill.example.org ([workers] api_url). Run "
        "this where [database] url is set."
    )
