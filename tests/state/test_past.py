"""What the run before says, against a reading of the rule word for word."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.state import Decision, PastRule, TaskState, judge_past

GOOD = {TaskState.SUCCESS, TaskState.SKIPPED}
instances = st.lists(st.sampled_from(TaskState), max_size=4)


@settings(derandomize=True, max_examples=300)
@given(
    states=st.fixed_dictionaries({"own": instances, "x": instances, "y": instances}),
    below=st.sampled_from([(), ("x",), ("x", "y")]),
    ignore_first=st.booleans(),
)
def test_a_task_goes_on_when_all_that_it_asks_for_is_done(states, below, ignore_first: bool) -> None:
    rule = PastRule(task_id="own", below=below, ignore_first=ignore_first)
    there = {name: [state for state in each if state is not TaskState.REMOVED] for name, each in states.items()}
    pending = {name for name in ("own", *below) if not set(there[name]) <= GOOD}
    answer = judge_past(rule, "r0", states)
    if not there["own"]:
        assert (answer.verdict is None) is ignore_first
    else:
        assert (answer.verdict is None) is (not pending)
        assert set(answer.waits_for) == pending
    if answer.verdict is not None:
        assert answer.verdict.decision is Decision.WAIT
        assert "r0" in answer.verdict.reason
        assert answer.waits_for


def test_only_what_would_run_is_held_back_unless_skipping_waits_too() -> None:
    plain, patient = PastRule(task_id="a"), PastRule(task_id="a", before_skipping=True)
    assert [plain.holds(decision) for decision in (Decision.RUN, Decision.SKIP)] == [True, False]
    assert [patient.holds(decision) for decision in (Decision.RUN, Decision.SKIP)] == [True, True]
    assert not patient.holds(Decision.UPSTREAM_FAILED)
