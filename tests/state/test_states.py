"""The table of legal moves, and what it must never allow."""

from enum import StrEnum

import pytest

from clockmill.state import (
    ACTIVE_RUN_STATES,
    AT_WORK_TASK_STATES,
    BEGUN_TASK_STATES,
    BUSY_TASK_STATES,
    FAILED_TASK_STATES,
    FINISHED_RUN_STATES,
    FINISHED_TASK_STATES,
    GOOD_OUTCOMES,
    GOOD_TASK_STATES,
    KEPT_OUTCOMES,
    LIVE_ATTEMPT_STATES,
    OWN_OUTCOMES,
    TRANSITIONS,
    UNFINISHED_OUTCOMES,
    AttemptState,
    Outcome,
    RunState,
    TaskState,
    is_legal,
)

ENUMS = [RunState, TaskState, AttemptState]


@pytest.mark.parametrize("enum", ENUMS)
def test_every_state_has_a_row_and_moves_only_to_states_of_its_kind(enum: type[StrEnum]) -> None:
    assert set(TRANSITIONS[enum]) == set(enum)
    assert all(isinstance(new, enum) for moves in TRANSITIONS[enum].values() for new in moves)


@pytest.mark.parametrize("enum", ENUMS)
def test_no_state_moves_to_itself(enum: type[StrEnum]) -> None:
    assert not [state for state in enum if is_legal(state, state)]


@pytest.mark.parametrize(
    ("enum", "start"),
    [
        (RunState, {RunState.QUEUED}),
        (TaskState, {TaskState.NONE}),
        (AttemptState, {AttemptState.QUEUED, AttemptState.RUNNING}),
    ],
)
def test_every_state_can_be_reached_from_the_first(enum: type[StrEnum], start: set[StrEnum]) -> None:
    reached, todo = set(start), list(start)
    while todo:
        for new in TRANSITIONS[enum][todo.pop()] - reached:
            reached.add(new)
            todo.append(new)
    assert reached == set(enum)


def test_an_attempt_that_is_over_never_moves_again() -> None:
    over = set(AttemptState) - LIVE_ATTEMPT_STATES
    assert all(not TRANSITIONS[AttemptState][state] for state in over)


def test_a_live_attempt_can_always_be_lost_because_any_machine_can_die() -> None:
    assert all(is_legal(state, AttemptState.LOST) for state in LIVE_ATTEMPT_STATES)


def test_an_attempt_that_is_being_stopped_cannot_succeed_or_fail_on_its_own() -> None:
    assert TRANSITIONS[AttemptState][AttemptState.STOPPING] == {AttemptState.STOPPED, AttemptState.LOST}


def test_every_outcome_is_an_attempt_state_that_a_running_attempt_may_take() -> None:
    assert all(is_legal(AttemptState.RUNNING, AttemptState(outcome.value)) for outcome in Outcome)


def test_a_finished_task_runs_again_only_by_way_of_none() -> None:
    going = {TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RUNNING}
    # A removed one never ran; it is taken up again when what it is mapped over grows.
    ran = FINISHED_TASK_STATES - {TaskState.REMOVED}
    assert not [(old, new) for old in ran for new in going if is_legal(old, new)]


def test_a_task_with_a_live_attempt_cannot_be_cleared_at_once() -> None:
    assert not is_legal(TaskState.RUNNING, TaskState.NONE)
    assert is_legal(TaskState.RUNNING, TaskState.RESTARTING)
    assert is_legal(TaskState.RESTARTING, TaskState.NONE)


def test_a_run_is_either_active_or_finished() -> None:
    assert set(RunState) == ACTIVE_RUN_STATES | FINISHED_RUN_STATES
    assert not ACTIVE_RUN_STATES & FINISHED_RUN_STATES


def test_each_state_of_a_task_is_finished_begun_or_still_to_begin() -> None:
    to_begin = {TaskState.NONE, TaskState.SCHEDULED, TaskState.UP_FOR_RETRY}
    groups = [FINISHED_TASK_STATES, BEGUN_TASK_STATES, to_begin]
    assert sorted(state for group in groups for state in group) == sorted(TaskState)
    assert FAILED_TASK_STATES | GOOD_TASK_STATES | {TaskState.REMOVED} == FINISHED_TASK_STATES
    assert AT_WORK_TASK_STATES < BUSY_TASK_STATES < BEGUN_TASK_STATES


def test_each_outcome_is_good_or_bad_and_what_goes_on_later_is_kept() -> None:
    assert frozenset(Outcome) - GOOD_OUTCOMES == {Outcome.FAILED, Outcome.LOST, Outcome.STOPPED, Outcome.RELEASED}
    assert UNFINISHED_OUTCOMES < KEPT_OUTCOMES < GOOD_OUTCOMES < OWN_OUTCOMES
    assert {outcome for outcome in Outcome if outcome not in OWN_OUTCOMES} == {Outcome.LOST, Outcome.RELEASED}
