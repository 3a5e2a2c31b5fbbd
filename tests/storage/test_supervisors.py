"""Supervisors as the database knows them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from clockmill.storage.engine import Database
from clockmill.storage.supervisors import next_epoch

SCHEDULERS = 8


def test_schedulers_that_begin_at_once_on_a_new_database_get_an_epoch_each(database: Database) -> None:
    all_there = threading.Barrier(SCHEDULERS, timeout=60)

    def begin(_: int) -> int:
        database.read(lambda connection: connection.exec_driver_sql("SELECT 1"))  # so that each is connected
        all_there.wait()
        return database.write(next_epoch)

    with ThreadPoolExecutor(SCHEDULERS) as threads:
        assert sorted(threads.map(begin, range(SCHEDULERS))) == list(range(1, SCHEDULERS + 1))
