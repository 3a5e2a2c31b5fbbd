"""Gives these tests a scheduler over a real database; see ``tests/mill.py``."""

from tests.mill import clock, mill

__all__ = ["clock", "mill"]
