"""``python -m benchmarks NAME ... [--database sqlite|postgres] [--runs N] [--json]``."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from typing import Any

from benchmarks import machine
from benchmarks.figures import Figure
from benchmarks.stage import DATABASES

#: Each is a module with ``run(database, runs) -> list[Figure]``.
NAMES = {
    "fan-out": "fanout",
    "reuse": "reuse",
    "chain": "chain",
    "mapping": "mapping",
    "backfill": "backfill",
    "parse": "parse",
    "start-up": "startup",
    "memory": "memory",
    "idle": "idle",
    "fork-floor": "fork_floor",
    "celery": "celery",
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the real programs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; all when none is named")
    parser.add_argument("--database", choices=DATABASES, help="one database only; both otherwise")
    parser.add_argument("--runs", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(NAMES)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return arguments


def _measure(name: str, database: str, runs: int) -> dict[str, Any]:
    figures: list[Figure] = importlib.import_module(f"benchmarks.{NAMES[name]}").run(database, runs)
    for figure in figures:
        print(f"{database:<9}{figure.line()}", file=sys.stderr, flush=True)
    return {"benchmark": name, "database": database, "figures": [figure.to_json() for figure in figures]}


def main() -> int:
    """Measure the machine, then each benchmark on each database."""
    arguments = _arguments()
    limits = machine.limits(arguments.runs)
    for figure in limits:
        print(f"{'machine':<9}{figure.line()}", file=sys.stderr, flush=True)
    databases = [arguments.database] if arguments.database else DATABASES
    results = [_measure(name, database, arguments.runs) for name in arguments.names or NAMES for database in databases]
    if arguments.json:
        about = {**machine.description(), "limits": [figure.to_json() for figure in limits]}
        print(json.dumps({"machine": about, "results": results}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
