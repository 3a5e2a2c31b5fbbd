"""A worker: runs on any machine what a scheduler offers, whatever rings the doorbells."""

from clockmill.executors.worker.agent import Worker
from clockmill.executors.worker.homelogs import HomeLogs
from clockmill.executors.worker.setup import WorkerSetup

__all__ = ["HomeLogs", "Worker", "WorkerSetup"]
