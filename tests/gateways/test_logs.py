"""What workers send of their logs, by every gateway."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from clockmill.clock import SystemClock
from clockmill.errors import ClockmillError, GatewayUnavailable, UsageError
from clockmill.logs.merged import Cursor
from clockmill.logs.receiver import LogReceiver
from clockmill.logs.tasklogs import TaskLogs
from clockmill.protocols.logs import LogOwner, LogPiece
from clockmill.protocols.workers import WorkerGateway
from clockmill.runtime.remote.client import Client
from clockmill.runtime.remote.worker import HttpWorkerGateway
from clockmill.storage import tables
from clockmill.storage.engine import Database
from clockmill.storage.gateway import gateway_spec, open_gateway
from clockmill.storage.worker_gateway import DatabaseWorkerGateway
from clockmill.testing.execution import execution_server
from tests.gateways.conftest import SECRET

NO_TEXT = bytes(range(256)) * 300


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture(params=["database", "http"])
def gateway(
    request: pytest.FixtureRequest, database: Database, key_file: Path, tmp_path: Path, logs: Path
) -> Iterator[WorkerGateway]:
    """Each way to send, and in the database the attempt ``me`` of the second try of ``d/now/t [3]``."""
    direct = DatabaseWorkerGateway(database, tmp_path / "run", SystemClock(), LogReceiver(logs))
    if request.param == "database":
        yield direct
        return
    reads = open_gateway(gateway_spec(database, key_file))
    with execution_server(direct, reads, SECRET) as address:
        gateway = HttpWorkerGateway(Client(address, SECRET))
        yield gateway
        gateway.close()
    reads.close()


@pytest.fixture
def run(rows: Any) -> int:
    run = int(rows.run(rows.dag("d"), "d", "now"))
    rows.attempt(run, rows.task(run, "t", map_index=3), "me", try_number=2)
    return run


def piece(data: bytes, offset: int = 0, attempt_id: str = "me", **fields: Any) -> LogPiece:
    return LogPiece(
        **{"attempt_id": attempt_id, "token": f"token-{attempt_id}", "offset": offset, "data": data} | fields
    )


@pytest.mark.usefixtures("run")
def test_pieces_are_kept_in_the_folder_of_their_try_once_each(gateway: WorkerGateway, logs: Path) -> None:
    folder = logs / "d" / "now" / "t" / "3" / "2"
    assert gateway.append_logs([piece(b"one\n"), piece(b"two\n", 4)]) == [4, 8]
    assert gateway.append_logs([piece(b"two\nthree\n", 4)]) == [14]
    assert gateway.append_logs([piece(b"a gap", 100)]) == [14]
    assert (folder / "me.part").read_bytes() == b"one\ntwo\nthree\n"
    assert gateway.append_logs([piece(NO_TEXT, 14, is_last=True)]) == [14 + len(NO_TEXT)]
    assert gateway.append_logs([piece(NO_TEXT, 14, is_last=True)]) == [14 + len(NO_TEXT)]
    assert [file.name for file in folder.iterdir()] == ["me.log"]
    assert (folder / "me.log").read_bytes() == b"one\ntwo\nthree\n" + NO_TEXT


def test_the_log_of_an_attempt_that_is_over_or_of_a_callback_is_taken_too(
    gateway: WorkerGateway, logs: Path, rows: Any, run: int
) -> None:
    rows.attempt(run, rows.task(run, "u", "success"), "over", "success")
    assert gateway.append_logs([piece(b"late\n", attempt_id="over", is_last=True)]) == [5]
    assert (logs / "d" / "now" / "u" / "-1" / "1" / "over.log").read_bytes() == b"late\n"


def test_what_belongs_to_nobody_is_not_wanted(gateway: WorkerGateway, logs: Path, database: Database, run: int) -> None:
    unknown = [piece(b"x", attempt_id="other"), piece(b"x", token="token-other"), piece(b"x", attempt_id="../../me")]
    assert gateway.append_logs(unknown) == [None, None, None]
    assert gateway.append_logs([piece(b"x"), *unknown]) == [1, None, None, None]
    database.write(lambda c: c.execute(delete(tables.dag_run).where(tables.dag_run.c.id == run)))
    assert gateway.append_logs([piece(b"y", 1)]) == [None]
    assert [file.read_bytes() for file in logs.rglob("*") if file.is_file()] == [b"x"]


@pytest.mark.usefixtures("run")
def test_a_disk_that_is_full_is_told_as_something_that_passes(gateway: WorkerGateway, logs: Path) -> None:
    logs.parent.mkdir(exist_ok=True)
    logs.write_text("no folder")
    with pytest.raises(GatewayUnavailable, match="Logs cannot be written"):
        gateway.append_logs([piece(b"x")])
    logs.unlink()
    assert gateway.append_logs([piece(b"x")]) == [1]


@pytest.mark.usefixtures("run")
def test_a_link_that_leads_out_of_the_folder_is_not_followed(
    gateway: WorkerGateway, logs: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    folder = logs / "d" / "now" / "t"
    folder.mkdir(parents=True)
    (folder / "3").symlink_to(secret)
    with pytest.raises(ClockmillError, match="outside the folder of the logs"):
        gateway.append_logs([piece(b"x")])
    (folder / "3").unlink()
    (folder / "3" / "2").mkdir(parents=True)
    (folder / "3" / "2" / "me.part").symlink_to(secret / "file")
    with pytest.raises(GatewayUnavailable):
        gateway.append_logs([piece(b"x")])
    assert list(secret.iterdir()) == []


@pytest.mark.usefixtures("run")
def test_where_logs_go_elsewhere_they_are_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[logs\] remote says where they go"):
        DatabaseWorkerGateway(database, tmp_path, SystemClock()).append_logs([piece(b"x")])


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("gateway", ["http"], indirect=True)
@pytest.mark.parametrize(
    "broken", [{"offset": -1}, {"offset": True}, {"offset": "0"}, {"token": 7}, {"is_last": 1}, {"more": 1}]
)
def test_a_piece_that_makes_no_sense_is_refused_and_nothing_is_written(
    gateway: WorkerGateway, logs: Path, broken: dict[str, Any]
) -> None:
    assert isinstance(gateway, HttpWorkerGateway)
    told = piece(b"x").to_json() | broken
    with pytest.raises(ClockmillError):
        gateway._call("logs", pieces=[piece(b"good").to_json(), told])
    assert not logs.exists()


@given(st.binary(max_size=60), st.data())
@settings(derandomize=True, max_examples=100, deadline=None)
def test_in_whatever_order_and_however_often_pieces_come_there_is_never_a_hole(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    logs = tmp_path_factory.mktemp("logs")
    keep, owner = LogReceiver(logs), LogOwner(dag_id="d", run_id="r", task_id="t")
    reader, path = TaskLogs(logs, is_sent=True), logs / "d/r/t/-1/1.log"
    places = st.integers(0, len(whole))
    for start, end in data.draw(st.lists(st.tuples(places, places), max_size=12)):
        kept = keep(owner, piece(whole[start:end], start, is_last=end == len(whole)))
        seen = reader.chunk(path, Cursor(), growing=False)[1].data
        assert (seen, len(seen)) == (whole[:kept], kept)
    assert keep(owner, piece(whole, is_last=True)) == len(whole)
    assert reader.find(path).missing(["me"]) == []
    assert len(list((logs / "d/r/t/-1/1").iterdir())) == 1
    assert sum(1 for _ in itertools.chain(os.scandir(logs / "d/r/t/-1"))) == 1
