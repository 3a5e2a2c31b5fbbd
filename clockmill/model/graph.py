"""The shape of a DAG as plain ids: order, cycles, and the weights that follow from what is above or below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Edges = Mapping[str, Iterable[str]]

_LOWEST, _HIGHEST = -(2**31), 2**31 - 1


def in_order(downstream: Edges) -> list[str]:
    """The ids so that each comes after all above it; ids in or below a cycle are missing.

    :param downstream: for each id, in the order of definition, the ids directly below.
    """
    above = dict.fromkeys(downstream, 0)
    for below in downstream.values():
        for task_id in below:
            above[task_id] += 1
    ready = [task_id for task_id, count in above.items() if count == 0]
    for task_id in ready:  # grows while it is walked through
        for below_id in sorted(downstream[task_id]):
            above[below_id] -= 1
            if above[below_id] == 0:
                ready.append(below_id)
    return ready


def find_cycle(downstream: Edges) -> list[str] | None:
    """The ids along a cycle, the first repeated at the end, or None when there is none."""
    loose = set(downstream) - set(in_order(downstream))
    if not loose:
        return None
    # All that is left lies on a cycle or below one: upwards, every step stays inside and must come round.
    upstream: dict[str, str] = {}
    for task_id in sorted(loose):
        for below in downstream[task_id]:
            upstream.setdefault(below, task_id)
    path: list[str] = []
    task_id = min(loose)
    while task_id not in path:
        path.append(task_id)
        task_id = upstream[task_id]
    cycle = path[path.index(task_id) :][::-1]
    first = cycle.index(min(cycle))
    cycle = cycle[first:] + cycle[:first]
    return [*cycle, cycle[0]]


def summed_weights(downstream: Edges, weights: Mapping[str, int]) -> dict[str, int]:
    """For each id its own weight and those of everything below it, each counted once.

    What is reachable is held as the bits of an integer, so that thousands of tasks take milliseconds.
    """
    order = in_order(downstream)
    bit = {task_id: 1 << number for number, task_id in enumerate(order)}
    masks: dict[int, int] = {}
    for task_id in order:
        masks[weights[task_id]] = masks.get(weights[task_id], 0) | bit[task_id]
    reach: dict[str, int] = {}
    for task_id in reversed(order):
        found = bit[task_id]
        for below in downstream[task_id]:
            found |= reach[below]
        reach[task_id] = found
    return {
        task_id: clamped(sum(weight * (found & mask).bit_count() for weight, mask in masks.items()))
        for task_id, found in reach.items()
    }


def clamped(weight: int) -> int:
    """``weight`` within what 32 bits hold."""
    return max(_LOWEST, min(_HIGHEST, weight))
