"""How an attempt ended, as it is written: the same for tasks and for calls of authors' functions."""

from __future__ import annotations

from datetime import datetime

from clockmill.clock import parse_iso_or_none
from clockmill.protocols import AttemptReport
from clockmill.state import AttemptState
from clockmill.storage.records import AttemptEnd, AttemptRow


def attempt_end(report: AttemptReport, row: AttemptRow, now: datetime) -> AttemptEnd:
    """What is written of a live attempt that a report ends; one that was to be stopped is stopped, however it ended."""
    new = AttemptState(report.outcome)
    if row.state is AttemptState.STOPPING and new is not AttemptState.LOST:
        new = AttemptState.STOPPED
    return AttemptEnd(
        id=row.id,
        token=report.token,
        old=row.state,
        new=new,
        started_at=parse_iso_or_none(report.started_at) or row.started_at,
        ended_at=parse_iso_or_none(report.ended_at) or now,
        exit_code=report.exit_code,
        signal=report.signal,
        reason=report.reason,
        peak_memory_kb=report.peak_memory_kb,
        cpu_seconds=report.cpu_seconds,
    )
