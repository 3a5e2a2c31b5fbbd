"""Whose turn it is: runs that are equally urgent get slots one after the other, however many tasks each of them has."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from clockmill.state import Level, level_of, take_turns
from clockmill.storage.admission import Full, ReadyTask, ready_tasks, ready_tasks_after
from clockmill.storage.engine import Connection

#: How many candidates are read for each free slot: some of them will find their limits full.
_LOOK_AHEAD = 2
#: Statements in which one look goes from run to run. Many slots that become free at once are shared by so many runs
#: at least, and the turn goes on behind them with the slots that become free next.
_MOST_LOOKS = 4
_END = 2**62
#: Levels of which it is remembered where the turn has come to.
_MOST_LEVELS = 1000


class Turns:
    """The turns of one scheduler. What it remembers is lost with it, and then the oldest run begins."""

    def __init__(self) -> None:
        self._served: dict[Level, int] = {}

    def look(self, connection: Connection, room: int, full: Full | None) -> tuple[list[ReadyTask], bool]:
        """The candidates for ``room`` free slots in the order of turns, and whether there are no others.

        The first look has all that there is, unless there is more than the slots need. Then it begins with the oldest
        run of the least urgent level that it reaches, and the runs of that level whose turn it is are looked for.
        """
        most = room * _LOOK_AHEAD
        ready = ready_tasks(connection, limit=most, full=full)
        if len(ready) < most:
            return take_turns(ready, self._served), True
        level = level_of(ready[-1])
        last = [task for task in ready if level_of(task) == level]
        if last[-1].is_followed or last[0].dag_run_id != last[-1].dag_run_id:
            last = self._in_turn(connection, level, room, full)
        ahead = [task for task in ready if level_of(task) != level]
        return take_turns([*ahead, *last], self._served), False

    def _in_turn(self, connection: Connection, level: Level, room: int, full: Full | None) -> list[ReadyTask]:
        """What the runs have that come next in the turn of a level, as many as there are slots for."""
        most, begin = room * _LOOK_AHEAD, self._served.get(level, 0)
        found: dict[int, ReadyTask] = {}
        after, is_again = begin, begin == 0
        for number in range(1, _MOST_LOOKS + 1):
            limit = ceil(most / number)
            tasks = ready_tasks_after(connection, level, after, limit=limit, full=full)
            found |= {task.id: task for task in tasks}
            if len({task.dag_run_id for task in found.values()}) >= room:
                break
            after = _seen_until(tasks) if len(tasks) == limit else _END
            if after >= _END and not is_again:
                after, is_again = 0, True  # the turn begins again with the oldest run
            elif is_again and after >= (begin or _END):
                break
        return list(found.values())

    def served(self, tasks: Iterable[ReadyTask]) -> None:
        """Remember who had a turn, in this order."""
        for task in tasks:
            self._served.pop(level_of(task), None)
            self._served[level_of(task)] = task.dag_run_id
        while len(self._served) > _MOST_LEVELS:
            del self._served[next(iter(self._served))]


def _seen_until(tasks: list[ReadyTask]) -> int:
    """The run after which a look goes on: the last one may have been cut off, unless it is the only one."""
    runs = sorted({task.dag_run_id for task in tasks})
    return runs[-2] if len(runs) > 1 else runs[0]
