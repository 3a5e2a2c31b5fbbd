"""What a benchmark answers: figures, each with all its values, so that the spread is seen beside the median."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured quantity.

    :param values: one value for each run.
    :param unit: of the values: ``tasks/s``, ``ms``, ``MB``.
    """

    name: str
    unit: str
    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def to_json(self) -> dict[str, Any]:
        """The figure with its median and spread."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": round(self.median, 4),
            "lowest": round(min(self.values), 4),
            "highest": round(max(self.values), 4),
            "values": [round(value, 4) for value in self.values],
        }

    def line(self) -> str:
        """The figure for people."""
        spread = f"{min(self.values):.4g} to {max(self.values):.4g} over {len(self.values)}"
        return f"{self.name:<46} {self.median:>10.4g} {self.unit:<10} ({spread})"
