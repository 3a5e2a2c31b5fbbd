"""Admission: no limit is ever exceeded, nobody waits for a limit that is not theirs, and the reason names the limit."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.state import Candidate, LimitKey, LimitKind, admit

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
