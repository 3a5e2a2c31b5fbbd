"""How a run moves on, checked task by task and against a plain fixed-point computation."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.state import (
    FINISHED_TASK_STATES,
    Change,
    Decision,
    Node,
    Progress,
    RunState,
    TaskState,
    TriggerRule,
    UpstreamCounts,
    descendants,
    is_legal,
    judge,
    left_out_by,
)

NONE, SCHEDULED, RUNNING = TaskState.NONE, TaskState.SCHEDULED, TaskState.RUNNING
SUCCESS, FAILED, SKIPPED, UPSTREAM_FAILED = (
    TaskState.SUCCESS,
    TaskState.FAILED,
    TaskState.SKIPPED,
    TaskState.UPSTREAM_FAILED,
)


def graph_of(edges: str, *, empty: str = "", rules: dict[str, TriggerRule] | None = None) -> dict[str, Node]:
    """``"a>b a>c"`` as a graph; tasks without an edge stand alone."""
    upstream: dict[str, list[str]] = {}
    downstream: dict[str, list[str]] = {}
    for item in edges.split():
        above, _, below = item.partition(">")
        for name in filter(None, (above, below)):
            upstream.setdefault(name, [])
            downstream.setdefault(name, [])
        if below:
            upstream[below].append(above)
            downstream[above].append(below)
    return {
        name: Node(
            name,
            tuple(upstream[name]),
            tuple(downstream[name]),
            (rules or {}).get(name, TriggerRule.ALL_SUCCESS),
            name in empty.split(),
        )
        for name in upstream
    }


def moved(changes: list[Change]) -> dict[str, TaskState]:
    return {change.task_id: change.state for change in changes}


def test_the_first_tasks_are_scheduled_and_the_others_wait() -> None:
    progress = Progress(graph_of("a>b b>c"), {})
    assert moved(progress.settle()) == {"a": SCHEDULED}
    assert progress.verdict("b").decision is Decision.WAIT


def test_a_success_schedules_what_waited_for_it() -> None:
    progress = Progress(graph_of("a>c b>c"), {"a": RUNNING, "b": SUCCESS})
    assert progress.settle() == []
    progress.record("a", SUCCESS)
    assert moved(progress.settle()) == {"c": SCHEDULED}


def test_a_failure_reaches_everything_below_at_once_with_a_reason() -> None:
    progress = Progress(graph_of("a>b b>c"), {"a": RUNNING})
    progress.settle()
    progress.record("a", FAILED)
    changes = progress.settle()
    assert moved(changes) == {"b": UPSTREAM_FAILED, "c": UPSTREAM_FAILED}
    assert changes[0].reason == "1 of 1 upstream tasks failed"
    assert progress.outcome() is RunState.FAILED


def test_empty_tasks_succeed_without_an_attempt_and_pass_on_what_follows() -> None:
    progress = Progress(graph_of("start>join join>work", empty="start join"), {})
    assert moved(progress.settle()) == {"start": SUCCESS, "join": SUCCESS, "work": SCHEDULED}


def test_an_empty_task_is_skipped_like_any_other() -> None:
    progress = Progress(graph_of("a>b", empty="b"), {"a": SKIPPED})
    assert moved(progress.settle()) == {"b": SKIPPED}


def test_settling_twice_changes_nothing_more() -> None:
    progress = Progress(graph_of("a>b"), {})
    progress.settle()
    assert progress.settle() == []


def test_a_branch_skips_what_it_leaves_out_and_the_join_runs() -> None:
    rules = {"join": TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS}
    graph = graph_of("pick>left pick>right left>join right>join", rules=rules)
    progress = Progress(graph, {"pick": RUNNING})
    progress.record("pick", SUCCESS, leaves_out=left_out_by(graph, "pick", branch=["left"], skips=None))
    assert moved(progress.settle()) == {"right": SKIPPED, "left": SCHEDULED}
    progress.record("left", SUCCESS)
    assert moved(progress.settle()) == {"join": SCHEDULED}


def test_a_task_left_out_is_skipped_whatever_its_rule() -> None:
    graph = graph_of("pick>left pick>right", rules={"right": TriggerRule.ALWAYS})
    progress = Progress(graph, {"pick": SUCCESS}, left_out=["right"])
    assert moved(progress.settle()) == {"left": SCHEDULED, "right": SKIPPED}


def test_a_cleared_task_is_judged_anew() -> None:
    progress = Progress(graph_of("a>b"), {"a": SUCCESS, "b": FAILED})
    assert progress.outcome() is RunState.FAILED
    progress.record("b", NONE)
    assert progress.outcome() is RunState.RUNNING
    assert moved(progress.settle()) == {"b": SCHEDULED}


def test_a_run_fails_by_its_leaves_alone() -> None:
    rules = {"tidy": TriggerRule.ALL_DONE}
    progress = Progress(graph_of("work>tidy", rules=rules), {"work": FAILED, "tidy": SUCCESS})
    assert progress.outcome() is RunState.SUCCESS


def test_a_run_without_tasks_succeeds() -> None:
    assert Progress({}, {}).outcome() is RunState.SUCCESS


def test_a_run_is_not_over_while_a_task_waits_for_its_next_try() -> None:
    assert Progress(graph_of("a"), {"a": TaskState.UP_FOR_RETRY}).outcome() is RunState.RUNNING


def test_a_branch_does_not_leave_out_what_a_followed_task_leads_to() -> None:
    graph = graph_of("pick>work work>join pick>join")
    assert left_out_by(graph, "pick", branch=["work"], skips=None) == []
    assert left_out_by(graph, "pick", branch=["join"], skips=None) == ["work"]


def test_a_branch_that_follows_nothing_leaves_out_all_directly_below() -> None:
    assert left_out_by(graph_of("pick>a pick>b a>c"), "pick", branch=[], skips=None) == ["a", "b"]


def test_a_short_circuit_leaves_out_all_below_or_only_the_next() -> None:
    graph = graph_of("gate>a a>b other>b")
    assert left_out_by(graph, "gate", branch=None, skips="downstream") == ["a", "b"]
    assert left_out_by(graph, "gate", branch=None, skips="direct") == ["a"]
    assert left_out_by(graph, "gate", branch=None, skips=None) == []


def test_descendants_are_all_below_and_not_the_task_itself() -> None:
    assert descendants(graph_of("a>b b>c x>c"), "a") == {"b", "c"}


# --- properties -----------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Node]:
    size = draw(st.integers(1, 7))
    names = [f"t{i}" for i in range(size)]
    pairs = [(a, b) for b in range(size) for a in range(b)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return {
        name: Node(
            name,
            tuple(names[a] for a, b in edges if b == i),
            tuple(names[b] for a, b in edges if a == i),
            draw(st.sampled_from(TriggerRule)),
            draw(st.booleans()),
        )
        for i, name in enumerate(names)
    }


def verdict_from_scratch(
    graph: dict[str, Node], states: dict[str, TaskState], left_out: set[str], name: str
) -> Decision:
    """The verdict on one task, by looking at each task above it again."""
    counts = UpstreamCounts(total=len(graph[name].upstream))
    for above in graph[name].upstream:
        counts.add(states[above])
    return Decision.SKIP if name in left_out else judge(graph[name].rule, counts).decision


STATE_AFTER = {Decision.RUN: SCHEDULED, Decision.SKIP: SKIPPED, Decision.UPSTREAM_FAILED: UPSTREAM_FAILED}


def check_changes(
    graph: dict[str, Node], states: dict[str, TaskState], left_out: set[str], changes: list[Change]
) -> None:
    """Each change follows from the states before it, and when they are made nothing more follows."""
    for change in changes:
        assert states[change.task_id] is NONE
        expected = STATE_AFTER[verdict_from_scratch(graph, states, left_out, change.task_id)]
        if expected is SCHEDULED and graph[change.task_id].is_empty:
            expected = SUCCESS
        assert change.state is expected
        assert change.reason
        assert is_legal(NONE, change.state)
        states[change.task_id] = change.state
    waiting = [name for name, state in states.items() if state is NONE]
    assert all(verdict_from_scratch(graph, states, left_out, name) is Decision.WAIT for name in waiting)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(graph=graphs(), data=st.data())
def test_any_run_ends_and_each_change_follows_from_the_states_before_it(
    graph: dict[str, Node], data: st.DataObject
) -> None:
    progress = Progress(graph, {})
    states = dict.fromkeys(graph, NONE)
    left_out: set[str] = set()
    while True:
        check_changes(graph, states, left_out, progress.settle())
        ready = sorted(name for name, state in states.items() if state is SCHEDULED)
        if not ready:
            break
        name = data.draw(st.sampled_from(ready))
        below = graph[name].downstream
        leaves_out = data.draw(st.lists(st.sampled_from(below), unique=True)) if below else []
        states[name] = data.draw(st.sampled_from([SUCCESS, FAILED, SKIPPED]))
        left_out.update(leaves_out)
        progress.record(name, states[name], leaves_out)
    assert all(state in FINISHED_TASK_STATES for state in states.values())
    leaves = [states[name] for name, node in graph.items() if not node.downstream]
    failed = any(state in {FAILED, UPSTREAM_FAILED} for state in leaves)
    assert progress.outcome() is (RunState.FAILED if failed else RunState.SUCCESS)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(graph=graphs(), data=st.data())
def test_a_progress_built_from_rows_agrees_with_one_that_saw_every_change(
    graph: dict[str, Node], data: st.DataObject
) -> None:
    seen = Progress(graph, {})
    for _ in range(data.draw(st.integers(0, 12))):
        seen.settle()
        ready = sorted(name for name in graph if seen.state_of(name) is SCHEDULED)
        if not ready:
            break
        seen.record(data.draw(st.sampled_from(ready)), data.draw(st.sampled_from([SUCCESS, FAILED, SKIPPED])))
    rebuilt = Progress(graph, {name: seen.state_of(name) for name in graph})
    assert moved(rebuilt.settle()) == moved(seen.settle())
    assert rebuilt.outcome() is seen.outcome()
    assert [rebuilt.verdict(name) for name in graph] == [seen.verdict(name) for name in graph]
