"""Every due tick makes exactly one run, or an event that says why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from clockmill import DAG
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator
from clockmill.storage import tables
from clockmill.storage.schedules import save_ticks, short_of_ticks
from clockmill.testing.executor import ScriptedExecutor
from clockmill.timetables import ContinuousTimetable, CustomTimetable, Schedule, tick_list


def ticking(dag_id: str = "d", schedule: object = "@hourly", **arguments: object) -> DAG:
    with DAG(dag_id, schedule=schedule, max_active_runs=100, **arguments) as dag:
        BashOperator(task_id="t", bash_command="true")
    return dag


def dates(mill, dag_id: str = "d") -> list[str]:
    return [row.logical_date.strftime("%m-%dT%H:%M") for row in mill.runs(dag_id)]


def test_a_run_is_made_at_its_tick_and_not_a_moment_before(mill) -> None:
    mill.add(ticking())
    mill.pass_time(minutes=59, seconds=59)
    assert mill.runs("d") == []
    mill.pass_time(seconds=1)
    assert dates(mill) == ["01-01T01:00"]
    assert mill.runs("d")[0].run_id == "scheduled__2026-01-01T01:00:00+00:00"


def test_at_first_sight_without_catchup_only_the_newest_missed_tick_runs(mill) -> None:
    mill.add(ticking(start_date=datetime(2025, 12, 1, tzinfo=UTC)))
    mill.pump()
    assert dates(mill) == ["01-01T00:00"]


def test_after_a_pause_only_the_newest_missed_tick_runs_and_the_others_leave_an_event(mill) -> None:
    mill.add(ticking(), paused=True)
    mill.pass_time(hours=5, minutes=30)
    assert mill.runs("d") == []
    mill.db.write(lambda c: c.execute(update(tables.dag).values(is_paused=False)))
    mill.pump()
    assert dates(mill) == ["01-01T05:00"]
    (event,) = mill.events("ticks_dropped")
    assert event.detail["count"] == 4
    assert event.detail["first"].startswith("2026-01-01T01:00")
    assert event.detail["last"].startswith("2026-01-01T04:00")


def test_with_catchup_every_missed_tick_runs(mill) -> None:
    mill.add(ticking(start_date=datetime(2025, 12, 31, 20, tzinfo=UTC), catchup=True))
    mill.pump()
    assert dates(mill) == ["12-31T20:00", "12-31T21:00", "12-31T22:00", "12-31T23:00", "01-01T00:00"]
    assert mill.events("ticks_dropped") == []


def test_a_long_catchup_goes_on_over_several_transactions(mill) -> None:
    mill.add(ticking(start_date=datetime(2025, 12, 20, tzinfo=UTC), catchup=True))
    mill.pump()
    assert len(mill.runs("d")) == 12 * 24 + 1


def test_no_run_after_the_end_date(mill) -> None:
    mill.add(ticking(end_date=datetime(2026, 1, 1, 2, tzinfo=UTC)))
    for _ in range(5):
        mill.pass_time(hours=1)
    assert dates(mill) == ["01-01T01:00", "01-01T02:00"]


def test_once_runs_once(mill) -> None:
    mill.add(ticking(schedule="@once"))
    mill.pump()
    mill.pass_time(days=3)
    assert len(mill.runs("d")) == 1


def continuous(schedule: object = "@continuous", **kwargs: Any) -> DAG:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    with DAG("d", schedule=schedule, start_date=start, max_active_runs=1, **kwargs) as dag:
        BashOperator(task_id="t", bash_command="true")
    return dag


@pytest.mark.parametrize("catchup", [False, True])
@pytest.mark.parametrize(("schedule", "gap"), [("@continuous", 1), (ContinuousTimetable(timedelta(minutes=5)), 300)])
def test_a_continuous_dag_runs_again_when_its_run_is_over_and_the_gap_has_passed(
    mill, schedule: object, gap: int, catchup: bool
) -> None:
    mill.add(continuous(schedule, catchup=catchup))
    mill.pump()
    assert len(mill.runs("d")) == 1
    mill.pass_time(hours=1)
    assert len(mill.runs("d")) == 1
    mill.finish("t")
    ended = mill.clock.now()
    mill.pass_time(seconds=gap - 0.000001)
    assert len(mill.runs("d")) == 1
    mill.pass_time(seconds=0.000001)
    assert [row.logical_date for row in mill.runs("d")][1:] == [ended + timedelta(seconds=gap)]
    assert mill.events("ticks_dropped") == []


def test_the_gap_of_a_continuous_dag_is_slept_through_and_not_a_moment_longer(mill) -> None:
    mill.add(continuous())
    mill.pump()
    mill.executor.finish("t")
    for _ in range(5):  # nobody calls: what is due has to be known from the pass in which the run ended
        mill.service.run_once()
    assert mill.service._deadline == mill.clock.now() + timedelta(seconds=1)
    mill.clock.advance(1)
    mill.service.run_once()
    assert len(mill.runs("d")) == 2


def test_the_gap_counts_from_a_run_by_hand_and_over_a_pause_too(mill) -> None:
    mill.add(continuous(), paused=True)
    mill.trigger("d")
    mill.db.write(lambda c: c.execute(update(tables.dag).values(is_paused=False)))
    mill.pump()
    mill.finish("t")
    mill.pass_time(seconds=0.5)
    mill.db.write(lambda c: c.execute(update(tables.dag).values(next_run_after=mill.clock.now())))
    mill.pump()
    assert [row.run_id for row in mill.runs("d")] == ["r1"]
    mill.pass_time(seconds=0.5)
    assert len(mill.runs("d")) == 2


def test_a_continuous_dag_with_nothing_to_do_runs_once_a_second(mill) -> None:
    with DAG("d", schedule="@continuous", start_date=datetime(2025, 1, 1, tzinfo=UTC), max_active_runs=1) as dag:
        EmptyOperator(task_id="nothing")
    mill.add(dag)
    for _ in range(20):
        mill.pass_time(seconds=0.25)
    assert len(mill.runs("d")) == 5


def test_a_continuous_dag_without_a_gap_still_gives_each_run_a_moment_of_its_own(mill) -> None:
    mill.add(continuous(ContinuousTimetable(timedelta(0))))
    mill.pump()
    mill.finish("t")
    assert len(mill.runs("d")) == 1
    mill.pass_time(seconds=0.000001)
    assert len({row.logical_date for row in mill.runs("d")}) == 2


class Hours(CustomTimetable):
    def next_after(self, moment: datetime) -> datetime:
        return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def test_a_timetable_of_the_authors_own_is_never_asked_but_its_stored_ticks_make_runs(mill) -> None:
    dag = ticking(schedule=Hours())
    mill.add(dag)
    many = tick_list(Schedule(dag.timetable), mill.clock.now(), lambda: False)
    two = replace(many, ticks=many.ticks[-200:-198])
    mill.db.write(lambda c: save_ticks(c, "d", two, mill.clock.now()))
    mill.pass_time(hours=1)
    mill.pass_time(hours=1)
    mill.pass_time(hours=1)
    assert dates(mill) == ["01-01T01:00", "01-01T02:00"]
    assert mill.db.read(lambda c: short_of_ticks(c, mill.clock.now())) == [("dags", "f.py")]
    mill.trigger("d")
    assert mill.run("d").logical_date == mill.clock.now()


def test_two_schedulers_make_one_run_of_a_tick(mill) -> None:
    other = mill.another(ScriptedExecutor(mill.clock, supervisor_id="b"))
    mill.add(ticking())
    mill.clock.advance(timedelta(hours=1).total_seconds())
    mill.service.run_once()
    other.run_once()
    mill.pump()
    assert dates(mill) == ["01-01T01:00"]


def test_a_manual_run_that_has_the_date_of_a_tick_stands_for_it(mill) -> None:
    mill.add(ticking())
    mill.trigger("d", logical_date=datetime(2026, 1, 1, 1, tzinfo=UTC))
    mill.pass_time(hours=1)
    assert [row.run_id for row in mill.runs("d")] == ["r1"]
    assert "r1" in mill.events("ticks_dropped")[0].detail["why"]
