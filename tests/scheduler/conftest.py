"""Gives these tests a scheduler over a real database; see ``tests/mill.py``."""

from tests.mill import clock, mill
from tests.works import direct, over_http, works

__all__ = ["clock", "direct", "mill", "over_http", "works"]
