"""Cron ticks two days either side of each change of the clock from 2024 to 2026, in every zone there is.

The other side is a scan of every minute that knows nothing of the code under test but the rule: a skipped local time
counts at the first instant after the gap, a repeated one at its first occurrence, and a schedule with a tick in every
hour of the clock around the change goes by elapsed time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from clockmill.timetables import CronTriggerTimetable, MultipleCronTriggerTimetable, next_change

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
REACH = 2 * DAY


@dataclass(frozen=True)
class Plain:
    """What a cron of minutes, hours and weekdays names."""

    cron: str
    minutes: frozenset[int]
    hours: frozenset[int]
    weekdays: frozenset[int] = frozenset(range(7))

    def minutes_of_week(self) -> frozenset[int]:
        return frozenset(
            day * 1440 + hour * 60 + minute for day in self.weekdays for hour in self.hours for minute in self.minutes
        )


def plain(cron: str) -> Plain:
    """The values of ``*``, ``*/n`` and a number, read without croniter; weekdays as Python counts them."""

    def values(text: str, size: int) -> frozenset[int]:
        step = int(text.partition("/")[2] or 1)
        return frozenset(range(0, size, step)) if text.startswith("*") else frozenset({int(text)})

    minute, hour, _, _, weekday = cron.split()
    weekdays = frozenset((day - 1) % 7 for day in values(weekday, 7))
    return Plain(cron, values(minute, 60), values(hour, 24), weekdays)


def changes(zone: str) -> tuple[datetime, ...]:
    found, moment = [], FIRST
    while change := next_change(zone, moment, LAST):
        found.append(change.at)
        moment = change.at
    return tuple(found)


@dataclass(frozen=True)
class Window:
    """What the clock of a zone shows around a change, minute by minute.

    :param jump: by how much it is put forward.
    :param ordinary: each instant whose local time was not shown before, with the minute of its week.
    :param again: those whose local time was.
    :param skipped: local times that are not shown at all.
    """

    zone: str
    change: datetime
    jump: timedelta
    ordinary: list[tuple[datetime, int]]
    again: list[tuple[datetime, datetime]]
    skipped: list[datetime]


def look(zone: str, change: datetime) -> Window:
    begin = change - REACH
    shown = [
        (moment, moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0))
        for moment in (begin + MINUTE * step for step in range(int(2 * REACH / MINUTE) + 1))
    ]
    seen: set[datetime] = set()
    ordinary, again, skipped, jump = [], [], [], timedelta(0)
    for (_, before), (moment, wall) in zip([(begin, shown[0][1] - MINUTE), *shown], shown, strict=False):
        if wall - before != MINUTE:
            jump = wall - before - MINUTE
            skipped = [before + MINUTE * more for more in range(1, int((wall - before) / MINUTE))]
        if wall in seen:
            again.append((moment, wall))
        else:
            ordinary.append((moment, minute_of_week(wall)))
        seen.add(wall)
    return Window(zone, change, jump, ordinary, again, skipped)


def windows() -> list[Window]:
    """Each change of the clock, once for all zones that show the same around it."""
    by_rules: dict[tuple[object, ...], str] = {}
    for zone in sorted(available_timezones() - {"localtime"}):
        at = changes(zone)
        by_rules.setdefault((*at, *(each.astimezone(ZoneInfo(zone)).utcoffset() for each in (FIRST, *at))), zone)
    found: dict[tuple[object, ...], Window] = {}
    for zone in by_rules.values():
        for change in changes(zone):
            ends = (each.astimezone(ZoneInfo(zone)).utcoffset() for each in (change - REACH, change + REACH))
            key = (change, *ends)
            if key not in found:
                found[key] = look(zone, change)
    return list(found.values())


def scan(cron: Plain, window: Window) -> list[datetime]:
    """Every instant at which ``cron`` ticks, by looking at each minute."""
    named = cron.minutes_of_week()
    ticks = {moment for moment, minute in window.ordinary if minute in named}
    ticks |= {m for m, wall in window.again if minute_of_week(wall) in named and _beats(cron, wall, window.jump)}
    if any(minute_of_week(wall) in named and not _beats(cron, wall, window.jump) for wall in window.skipped):
        ticks.add(window.change)
    return sorted(ticks)


def minute_of_week(wall: datetime) -> int:
    return wall.weekday() * 1440 + wall.hour * 60 + wall.minute


def _beats(cron: Plain, wall: datetime, jump: timedelta) -> bool:
    """Whether there is a tick in every hour of the clock from before the change until after it."""
    first, last = wall - abs(jump), wall + abs(jump)
    hours = {(first + MINUTE * step).hour for step in range(int((last - first) / MINUTE) + 1)}
    return hours <= cron.hours


def crons_around(change: datetime, zone: str) -> list[Plain]:
    """Every hour, every quarter, every day and every week at the time that is skipped or repeated, and others."""
    found = next_change(zone, change - HOUR, change + HOUR)
    assert found is not None
    low, high = sorted((found.before, found.after))
    inside = low + (high - low) / 2
    weekday = inside.isoweekday() % 7
    texts = ["0 * * * *", "*/15 * * * *", "30 2 * * *", "0 */2 * * *", "0 0 * * *"]
    texts += [f"{each.minute} {each.hour} * * *" for each in (low, inside, high)]
    texts += [f"{inside.minute} {inside.hour} * * {weekday}", f"*/20 {inside.hour} * * *"]
    return [plain(text) for text in dict.fromkeys(texts)]


def test_around_every_change_of_the_clock_no_tick_is_lost_or_doubled() -> None:
    compared = 0
    for window in windows():
        crons = crons_around(window.change, window.zone)
        expected = {cron.cron: scan(cron, window) for cron in crons}
        for cron, ticks in expected.items():
            assert found(CronTriggerTimetable(cron, window.zone), window) == ticks, (window.zone, window.change, cron)
            compared += len(ticks)
        several = [crons[0].cron, crons[2].cron, crons[-1].cron]
        ticks = sorted({tick for cron in several for tick in expected[cron]})
        together = MultipleCronTriggerTimetable(*several, timezone=window.zone)
        assert found(together, window) == ticks, (window.zone, window.change)
    assert compared > 50_000


def found(timetable: CronTriggerTimetable | MultipleCronTriggerTimetable, window: Window) -> list[datetime]:
    before = window.change - REACH - timedelta(microseconds=1)
    ticks = [tick.run_after for tick in timetable.ticks_between(before, window.change + REACH)]
    assert all(earlier < later for earlier, later in pairwise(ticks))
    return ticks
