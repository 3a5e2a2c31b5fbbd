"""Admission: no limit is ever exceeded, nobody waits for a limit that is not theirs, and the reason names the limit.

What is equally urgent takes turns.
"""

from dataclasses import dataclass
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.state import Candidate, Level, LimitKey, LimitKind, admit, level_of, take_turns

POOL = LimitKey(LimitKind.POOL, "db")
OTHER = LimitKey(LimitKind.POOL, "default_pool")
RUN = LimitKey(LimitKind.RUN_TASKS, "etl/run")
SLOTS = LimitKey(LimitKind.EXECUTOR, "local")


def test_candidates_are_admitted_in_order_until_the_pool_is_full() -> None:
    answer = admit([Candidate(ident=i, claims={POOL: 1}) for i in (1, 2, 3)], {POOL: 2}, {})
    assert answer.admitted == [1, 2]
    assert [refusal.ident for refusal in answer.refused] == [3]


def test_the_refusal_says_which_limit_is_full_and_how_full() -> None:
    answer = admit([Candidate(ident=1, claims={POOL: 2})], {POOL: 3}, {POOL: 2})
    assert answer.refused[0].reason == "pool 'db' is full: 2 of 3 in use"


def test_a_full_pool_does_not_hold_back_tasks_of_another() -> None:
    first, second = Candidate(ident=1, claims={POOL: 1}), Candidate(ident=2, claims={OTHER: 1})
    assert admit([first, second], {POOL: 0, OTHER: 1}, {}).admitted == [2]


def test_a_large_claim_that_does_not_fit_lets_a_smaller_one_pass() -> None:
    large, small = Candidate(ident=1, claims={POOL: 5}), Candidate(ident=2, claims={POOL: 1})
    assert admit([large, small], {POOL: 2}, {}).admitted == [2]


def test_one_that_is_refused_takes_nothing_of_its_other_limits() -> None:
    blocked = Candidate(ident=1, claims={SLOTS: 1, POOL: 1})
    free = Candidate(ident=2, claims={SLOTS: 1})
    assert admit([blocked, free], {SLOTS: 1, POOL: 0}, {}).admitted == [2]


def test_a_limit_that_is_not_given_does_not_bind() -> None:
    assert admit([Candidate(ident=1, claims={RUN: 100})], {}, {}).admitted == [1]


def test_usage_beyond_a_limit_that_was_lowered_admits_nobody() -> None:
    assert admit([Candidate(ident=1, claims={POOL: 1})], {POOL: 1}, {POOL: 4}).admitted == []


KEYS = [POOL, OTHER, RUN, SLOTS]
amounts = st.integers(0, 4)


@settings(derandomize=True, max_examples=200)
@given(
    claims=st.lists(st.dictionaries(st.sampled_from(KEYS), st.integers(1, 3)), max_size=12),
    limits=st.dictionaries(st.sampled_from(KEYS), amounts),
    usage=st.dictionaries(st.sampled_from(KEYS), amounts),
)
def test_admission_never_exceeds_a_limit_and_refuses_nobody_who_fits(
    claims: list[dict[LimitKey, int]], limits: dict[LimitKey, int], usage: dict[LimitKey, int]
) -> None:
    candidates = [Candidate(ident=i, claims=claim) for i, claim in enumerate(claims)]
    answer = admit(candidates, limits, usage)
    taken = {key: sum(claims[i].get(key, 0) for i in answer.admitted) for key in KEYS}
    for key, total in limits.items():
        assert taken[key] == 0 or usage.get(key, 0) + taken[key] <= total
    for refusal in answer.refused:
        room = {key: limits[key] - usage.get(key, 0) - taken[key] for key in limits}
        assert any(amount > room[key] for key, amount in claims[refusal.ident].items() if key in room)
    assert sorted([*answer.admitted, *(r.ident for r in answer.refused)]) == list(range(len(claims)))


@settings(derandomize=True, max_examples=200)
@given(
    wanted=st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(KEYS), st.integers(1, 3)), st.dictionaries(st.sampled_from(KEYS), amounts)
        ),
        max_size=10,
    ),
    limits=st.dictionaries(st.sampled_from(KEYS), amounts),
    usage=st.dictionaries(st.sampled_from(KEYS), amounts),
)
def test_admission_is_what_a_plain_reading_of_the_limits_says(wanted, limits, usage) -> None:
    candidates = [Candidate(ident=i, claims=claims, caps=caps) for i, (claims, caps) in enumerate(wanted)]
    used, admitted, full = dict(usage), [], {}
    for i, (claims, caps) in enumerate(wanted):
        seen = {**limits, **caps}
        in_the_way = [key for key in claims if key in seen and used.get(key, 0) + claims[key] > seen[key]]
        if in_the_way:
            full[i] = (in_the_way, seen)
            continue
        admitted.append(i)
        used = {key: used.get(key, 0) + claims.get(key, 0) for key in KEYS}
    answer = admit(candidates, limits, usage)
    assert answer.admitted == admitted
    assert [refusal.ident for refusal in answer.refused] == list(full)
    for refusal in answer.refused:
        keys, seen = full[refusal.ident]
        assert refusal.limit in keys
        assert refusal.total == seen[refusal.limit]


# --- turns ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    dag_run_id: int
    number: int
    priority: int = 1
    lane: int = 0


def test_runs_take_turns_and_the_oldest_begins() -> None:
    order = take_turns([Task(7, 1), Task(7, 2), Task(7, 3), Task(3, 4), Task(3, 5), Task(9, 6)], {})
    assert [task.number for task in order] == [4, 1, 6, 5, 2, 3]


def test_a_turn_goes_on_after_the_run_that_was_served_last() -> None:
    tasks = [Task(3, 1), Task(7, 2), Task(9, 3)]
    assert [task.number for task in take_turns(tasks, {(0, 1): 3})] == [2, 3, 1]
    assert [task.number for task in take_turns(tasks, {(0, 1): 8})] == [3, 1, 2]  # a run that is not there any more
    assert [task.number for task in take_turns(tasks, {(0, 1): 9})] == [1, 2, 3]
    assert [task.number for task in take_turns(tasks, {(0, 2): 3})] == [1, 2, 3]  # the turn of another priority


def test_what_is_more_urgent_goes_first_and_backfills_last_whoever_has_the_turn() -> None:
    tasks = [Task(1, 1, priority=1), Task(1, 2, priority=9), Task(2, 3, priority=9), Task(0, 4, priority=99, lane=1)]
    assert [task.number for task in take_turns(tasks, {(0, 9): 1})] == [3, 2, 1, 4]


waiting = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(0, 1)).map(lambda t: Task(t[0], 0, t[1], t[2])),
    max_size=25,
).map(lambda tasks: [Task(t.dag_run_id, number, t.priority, t.lane) for number, t in enumerate(tasks)])
served = st.dictionaries(st.tuples(st.integers(0, 1), st.integers(1, 2)), st.integers(0, 5))


@settings(derandomize=True, max_examples=200)
@given(tasks=waiting, served=served)
def test_no_run_is_two_ahead_of_another_that_waits_at_the_same_level(
    tasks: list[Task], served: dict[Level, int]
) -> None:
    order = take_turns(tasks, served)
    assert sorted(order, key=lambda task: task.number) == tasks
    assert [level for level, _ in groupby(order, level_of)] == sorted(
        {level_of(task) for task in tasks}, key=lambda level: (level[0], -level[1])
    )
    for position in range(len(order)):
        level = level_of(order[position])
        left = {task.dag_run_id for task in order[position:] if level_of(task) == level}
        had = [task.dag_run_id for task in order[:position] if level_of(task) == level]
        assert all(had.count(run) >= max(map(had.count, had)) - 1 for run in left if had)
    for run in {task.dag_run_id for task in tasks}:
        mine = [task.number for task in order if task.dag_run_id == run]
        assert sorted(mine) == sorted(task.number for task in tasks if task.dag_run_id == run)


@settings(derandomize=True, max_examples=200)
@given(tasks=waiting, served=served, sizes=st.lists(st.integers(1, 5), min_size=25, max_size=25))
def test_it_makes_no_difference_how_many_are_served_at_a_time(
    tasks: list[Task], served: dict[Level, int], sizes: list[int]
) -> None:
    at_once, in_passes, left = take_turns(tasks, served), [], list(tasks)
    for size in sizes:
        for task in take_turns(left, served)[:size]:
            in_passes.append(task)
            left.remove(task)
            served = {**served, level_of(task): task.dag_run_id}
    assert in_passes == at_once
