"""How a run moves on, checked task by task and against a plain fixed-point computation."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.state import (
    FINISHED_TASK_STATES,
    Change,
    Decision,
    Expansion,
    Graph,
    MappedGroup,
    Node,
    Progress,
    RunState,
    Step,
    TaskKey,
    TaskState,
    TriggerRule,
    UpstreamCounts,
    Verdict,
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


def keyed(states: dict[str, TaskState]) -> dict[TaskKey, TaskState]:
    return {TaskKey(name): state for name, state in states.items()}


def moved(steps: list[Step]) -> dict[str, TaskState]:
    return {step.key.task_id: step.state for step in steps if isinstance(step, Change)}


def test_the_first_tasks_are_scheduled_and_the_others_wait() -> None:
    progress = Progress(graph_of("a>b b>c"), {})
    assert moved(progress.settle()) == {"a": SCHEDULED}
    assert progress.verdict(TaskKey("b")).decision is Decision.WAIT


def test_a_success_schedules_what_waited_for_it() -> None:
    progress = Progress(graph_of("a>c b>c"), keyed({"a": RUNNING, "b": SUCCESS}))
    assert progress.settle() == []
    progress.record(TaskKey("a"), SUCCESS)
    assert moved(progress.settle()) == {"c": SCHEDULED}


def test_a_failure_reaches_everything_below_at_once_with_a_reason() -> None:
    progress = Progress(graph_of("a>b b>c"), keyed({"a": RUNNING}))
    progress.settle()
    progress.record(TaskKey("a"), FAILED)
    changes = progress.settle()
    assert moved(changes) == {"b": UPSTREAM_FAILED, "c": UPSTREAM_FAILED}
    assert isinstance(changes[0], Change)
    assert changes[0].reason == "1 of 1 upstream tasks failed"
    assert progress.outcome() is RunState.FAILED


def test_empty_tasks_succeed_without_an_attempt_and_pass_on_what_follows() -> None:
    progress = Progress(graph_of("start>join join>work", empty="start join"), {})
    assert moved(progress.settle()) == {"start": SUCCESS, "join": SUCCESS, "work": SCHEDULED}


def test_an_empty_task_is_skipped_like_any_other() -> None:
    progress = Progress(graph_of("a>b", empty="b"), keyed({"a": SKIPPED}))
    assert moved(progress.settle()) == {"b": SKIPPED}


def test_settling_twice_changes_nothing_more() -> None:
    progress = Progress(graph_of("a>b"), {})
    progress.settle()
    assert progress.settle() == []


def test_a_branch_skips_what_it_leaves_out_and_the_join_runs() -> None:
    rules = {"join": TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS}
    graph = graph_of("pick>left pick>right left>join right>join", rules=rules)
    progress = Progress(graph, keyed({"pick": RUNNING}))
    progress.record(TaskKey("pick"), SUCCESS, leaves_out=left_out_by(graph, "pick", branch=["left"], skips=None))
    assert moved(progress.settle()) == {"right": SKIPPED, "left": SCHEDULED}
    progress.record(TaskKey("left"), SUCCESS)
    assert moved(progress.settle()) == {"join": SCHEDULED}


def test_a_task_left_out_is_skipped_whatever_its_rule() -> None:
    graph = graph_of("pick>left pick>right", rules={"right": TriggerRule.ALWAYS})
    progress = Progress(graph, keyed({"pick": SUCCESS}), left_out=[(TaskKey("pick"), ["right"])])
    assert moved(progress.settle()) == {"left": SCHEDULED, "right": SKIPPED}


def test_a_cleared_task_is_judged_anew() -> None:
    progress = Progress(graph_of("a>b"), keyed({"a": SUCCESS, "b": FAILED}))
    assert progress.outcome() is RunState.FAILED
    progress.record(TaskKey("b"), NONE)
    assert progress.outcome() is RunState.RUNNING
    assert moved(progress.settle()) == {"b": SCHEDULED}


def test_a_run_fails_by_its_leaves_alone() -> None:
    rules = {"tidy": TriggerRule.ALL_DONE}
    progress = Progress(graph_of("work>tidy", rules=rules), keyed({"work": FAILED, "tidy": SUCCESS}))
    assert progress.outcome() is RunState.SUCCESS


def test_a_run_without_tasks_succeeds() -> None:
    assert Progress({}, {}).outcome() is RunState.SUCCESS


def test_a_run_is_not_over_while_a_task_waits_for_its_next_try() -> None:
    assert Progress(graph_of("a"), keyed({"a": TaskState.UP_FOR_RETRY})).outcome() is RunState.RUNNING


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


# --- setups and teardowns -------------------------------------------------------------------------------------------


def test_a_failed_teardown_does_not_fail_the_run_unless_asked_to() -> None:
    for fails_run, outcome in ((False, RunState.SUCCESS), (True, RunState.FAILED)):
        graph = {
            "work": Node("work", (), ("down",)),
            "down": Node("down", ("work",), is_teardown=True, fails_run=fails_run),
        }
        assert Progress(graph, keyed({"work": SUCCESS, "down": FAILED})).outcome() is outcome


def test_the_work_above_a_teardown_decides_about_the_run() -> None:
    graph = {"work": Node("work", (), ("down",)), "down": Node("down", ("work",), is_teardown=True)}
    assert Progress(graph, keyed({"work": FAILED, "down": SUCCESS})).outcome() is RunState.FAILED


def test_a_short_circuit_leaves_teardowns_to_their_rule() -> None:
    graph = graph_of("gate>work work>down")
    graph["down"] = replace(graph["down"], is_teardown=True)
    assert left_out_by(graph, "gate", branch=None, skips="downstream") == ["work"]


# --- mapping --------------------------------------------------------------------------------------------------------


def over(*sources: object) -> Expansion:
    """Mapped over the value of a task (its name) or over so many literals (a number)."""
    given = [{"literal": s} if isinstance(s, int) else {"xcom": [s, "return_value"]} for s in sources]
    return Expansion(tuple(given))


def mapped(edges: str, **expansions: Expansion) -> dict[str, Node]:
    graph = graph_of(edges)
    return {name: replace(node, expansion=expansions.get(name)) for name, node in graph.items()}


def scheduled(steps: list[Step]) -> list[TaskKey]:
    return [step.key for step in steps if isinstance(step, Change) and step.state is SCHEDULED]


def test_a_mapped_task_has_as_many_instances_as_the_value_above_it_is_long() -> None:
    progress = Progress(mapped("src>m m>end", m=over("src")), {})
    progress.settle()
    progress.record(TaskKey("src"), SUCCESS)
    assert scheduled(progress.settle(lambda *_: 3)) == [TaskKey("m", 0), TaskKey("m", 1), TaskKey("m", 2)]
    for index in range(3):
        assert progress.settle() == []
        progress.record(TaskKey("m", index), SUCCESS)
    assert scheduled(progress.settle()) == [TaskKey("end")]


def test_several_arguments_give_their_cross_product() -> None:
    progress = Progress(mapped("m", m=over(2, 3)), {})
    assert len(scheduled(progress.settle())) == 6


def test_a_task_mapped_over_nothing_is_skipped_and_so_is_what_follows() -> None:
    progress = Progress(mapped("m>end", m=over(0)), {})
    assert moved(progress.settle()) == {"m": SKIPPED, "end": SKIPPED}


def test_a_value_without_a_length_cannot_be_mapped() -> None:
    progress = Progress(mapped("src>m", m=over("src")), keyed({"src": SUCCESS}))
    (step,) = progress.settle(lambda *_: None)
    assert isinstance(step, Change)
    assert (step.state, step.reason) == (
        UPSTREAM_FAILED,
        "it is mapped over the value of 'src', which is no list or dictionary",
    )


def test_more_instances_than_are_allowed_fail_the_task_with_both_numbers() -> None:
    for length, state in ((10, SCHEDULED), (11, FAILED)):
        progress = Progress(mapped("m", m=over(length)), {}, max_map_length=10)
        assert moved(progress.settle()) == {"m": state}


def test_one_failed_instance_fails_the_reduce_at_once() -> None:
    progress = Progress(mapped("m>end", m=over(2)), {})
    progress.settle()
    progress.record(TaskKey("m", 1), FAILED)
    assert moved(progress.settle()) == {"end": UPSTREAM_FAILED}


def test_a_cleared_mapped_task_grows_and_shrinks_with_the_value() -> None:
    graph = mapped("src>m m>end", m=over("src"))
    states = {TaskKey("src"): SUCCESS, TaskKey("m", 0): NONE, TaskKey("m", 1): NONE, TaskKey("end"): NONE}
    assert scheduled(Progress(graph, states).settle(lambda *_: 3)) == [TaskKey("m", n) for n in range(3)]
    fewer = Progress(graph, states)
    assert scheduled(fewer.settle(lambda *_: 1)) == [TaskKey("m", 0)]
    assert fewer.state_of(TaskKey("m", 1)) is TaskState.REMOVED
    fewer.record(TaskKey("m", 0), SUCCESS)
    assert scheduled(fewer.settle(lambda *_: 1)) == [TaskKey("end")]
    again = {**states, TaskKey("m", 1): TaskState.REMOVED}
    assert scheduled(Progress(graph, again).settle(lambda *_: 2)) == [TaskKey("m", 0), TaskKey("m", 1)]


def grouped(size: Expansion) -> Graph:
    """``src`` above a mapped group of ``a`` and ``b``, and ``end`` below."""
    nodes = graph_of("src>a a>b b>end")
    inside = {name: replace(nodes[name], groups=("g",)) for name in ("a", "b")}
    return Graph({**nodes, **inside}, {"g": MappedGroup("g", size, ("g",))})


def test_the_instances_of_a_mapped_group_go_on_independently() -> None:
    progress = Progress(grouped(over("src")), keyed({"src": SUCCESS}))
    assert scheduled(progress.settle(lambda *_: 2)) == [TaskKey("a", 0, "0"), TaskKey("a", 1, "1")]
    progress.record(TaskKey("a", 1, "1"), SUCCESS)
    assert scheduled(progress.settle()) == [TaskKey("b", 1, "1")]
    progress.record(TaskKey("a", 0, "0"), SKIPPED)
    assert moved(progress.settle()) == {"b": SKIPPED, "end": SKIPPED}


def test_a_mapped_group_over_nothing_is_skipped_as_a_whole() -> None:
    progress = Progress(grouped(over("src")), keyed({"src": SUCCESS}))
    assert moved(progress.settle(lambda *_: 0)) == {"a": SKIPPED, "b": SKIPPED, "end": SKIPPED}


def test_a_mapped_group_whose_source_failed_cannot_run() -> None:
    progress = Progress(grouped(over("src")), keyed({"src": FAILED}))
    assert moved(progress.settle()) == {"a": UPSTREAM_FAILED, "b": UPSTREAM_FAILED, "end": UPSTREAM_FAILED}


def test_a_branch_in_a_mapped_group_leaves_out_tasks_of_its_own_instance_alone() -> None:
    progress = Progress(grouped(over(2)), keyed({"src": SUCCESS}))
    progress.settle()
    progress.record(TaskKey("a", 0, "0"), SUCCESS, ["b"])
    progress.record(TaskKey("a", 1, "1"), SUCCESS)
    steps = [step for step in progress.settle() if isinstance(step, Change) and step.key.task_id == "b"]
    assert {step.key: step.state for step in steps} == {TaskKey("b", 0, "0"): SKIPPED, TaskKey("b", 1, "1"): SCHEDULED}


def test_a_mapped_branch_leaves_a_task_out_only_with_all_of_its_instances() -> None:
    progress = Progress(mapped("pick>x pick>y", pick=over(2)), {})
    progress.settle()
    progress.record(TaskKey("pick", 0), SUCCESS, ["x"])
    progress.record(TaskKey("pick", 1), SUCCESS, ["x", "y"])
    assert moved(progress.settle()) == {"x": SKIPPED, "y": SCHEDULED}


def test_a_mapped_task_in_a_mapped_group_is_expanded_in_each_of_its_instances() -> None:
    graph = grouped(over(2))
    graph["b"] = replace(graph["b"], expansion=over("a"))
    progress = Progress(graph, keyed({"src": SUCCESS}))
    progress.settle()
    lengths = {"0": 1, "1": 2}
    progress.record(TaskKey("a", 1, "1"), SUCCESS)
    assert scheduled(progress.settle(lambda _t, _k, scope: lengths[scope])) == [
        TaskKey("b", 0, "1"),
        TaskKey("b", 1, "1"),
    ]
    progress.record(TaskKey("a", 0, "0"), SUCCESS)
    assert scheduled(progress.settle(lambda _t, _k, scope: lengths[scope])) == [TaskKey("b", 2, "0")]
    for key in (TaskKey("b", 0, "1"), TaskKey("b", 1, "1"), TaskKey("b", 2, "0")):
        progress.record(key, SUCCESS)
    assert scheduled(progress.settle()) == [TaskKey("end")]


def test_groups_in_groups_are_expanded_from_the_outside_in() -> None:
    nodes = graph_of("a>b")
    groups = {"a": ("g",), "b": ("g", "h")}
    graph = Graph(
        {name: replace(node, groups=groups[name]) for name, node in nodes.items()},
        {"g": MappedGroup("g", over(2), ("g",)), "h": MappedGroup("h", over("a"), ("g", "h"))},
    )
    progress = Progress(graph, {})
    assert scheduled(progress.settle()) == [TaskKey("a", 0, "0"), TaskKey("a", 1, "1")]
    progress.record(TaskKey("a", 1, "1"), SUCCESS)
    assert scheduled(progress.settle(lambda *_: 2)) == [TaskKey("b", 0, "1.0"), TaskKey("b", 1, "1.1")]


def test_a_gate_holds_a_task_back_until_it_is_released() -> None:
    progress = Progress(graph_of("a>b"), {})
    held = Verdict(Decision.WAIT, "not yet")
    assert progress.settle(gate=lambda _task_id, _decision: held) == []
    assert progress.settle() == []
    progress.release("a")
    assert moved(progress.settle()) == {"a": SCHEDULED}


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
            is_setup=draw(st.booleans()),
        )
        for i, name in enumerate(names)
    }


def verdict_from_scratch(
    graph: dict[str, Node], states: dict[str, TaskState], left_out: set[str], name: str
) -> Decision:
    """The verdict on one task, by looking at each task above it again."""
    setups = sum(graph[above].is_setup for above in graph[name].upstream)
    counts = UpstreamCounts(total=len(graph[name].upstream), setups=setups)
    for above in graph[name].upstream:
        counts.add(states[above], is_setup=graph[above].is_setup)
    decision = Decision.SKIP if name in left_out else judge(graph[name].rule, counts).decision
    if decision is not Decision.RUN or graph[name].is_setup:
        return decision
    further_up = {states[far] for far in far_above(graph, name) if graph[far].is_setup}
    if not further_up <= FINISHED_TASK_STATES:
        return Decision.WAIT
    if further_up & {FAILED, UPSTREAM_FAILED}:
        return Decision.UPSTREAM_FAILED
    return Decision.SKIP if SKIPPED in further_up else Decision.RUN


def far_above(graph: dict[str, Node], name: str) -> set[str]:
    """The tasks above one that are not directly above it."""
    found, todo = set(), [*graph[name].upstream]
    while todo:
        above = graph[todo.pop()].upstream
        found |= set(above)
        todo += above
    return found - set(graph[name].upstream)


STATE_AFTER = {Decision.RUN: SCHEDULED, Decision.SKIP: SKIPPED, Decision.UPSTREAM_FAILED: UPSTREAM_FAILED}


def check_changes(graph: dict[str, Node], states: dict[str, TaskState], left_out: set[str], steps: list[Step]) -> None:
    """Each change follows from the states before it, and when they are made nothing more follows."""
    for change in steps:
        assert isinstance(change, Change)
        name = change.key.task_id
        assert states[name] is NONE
        expected = STATE_AFTER[verdict_from_scratch(graph, states, left_out, name)]
        if expected is SCHEDULED and graph[name].is_empty:
            expected = SUCCESS
        assert change.state is expected
        assert change.reason
        assert is_legal(NONE, change.state)
        states[name] = change.state
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
        progress.record(TaskKey(name), states[name], leaves_out)
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
        ready = sorted(name for name in graph if seen.state_of(TaskKey(name)) is SCHEDULED)
        if not ready:
            break
        seen.record(TaskKey(data.draw(st.sampled_from(ready))), data.draw(st.sampled_from([SUCCESS, FAILED, SKIPPED])))
    rebuilt = Progress(graph, {TaskKey(name): seen.state_of(TaskKey(name)) for name in graph})
    assert moved(rebuilt.settle()) == moved(seen.settle())
    assert rebuilt.outcome() is seen.outcome()
    assert [rebuilt.verdict(TaskKey(name)) for name in graph] == [seen.verdict(TaskKey(name)) for name in graph]
