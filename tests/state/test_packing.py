"""Resources: what authors may write, and where attempts that ask for some are put."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.state.packing import Ask, Packing, Place, claimable, urgency
from clockmill.state.resources import fits, from_text, parse, parse_text, plus, spoken, to_text

GB = 1 << 30


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"cpu": 2, "memory": "4GB", "gpu": 1}, {"cpu": 2, "gpu": 1, "memory": 4 * GB}),
        ({"cpu": 0.5, "memory": "512MB"}, {"cpu": 0.5, "memory": GB // 2}),
        ({"memory": "1.5 GiB", "scratch": "1TB"}, {"memory": 3 * GB // 2, "scratch": 1024 * GB}),
        ({"memory": "4Gi"}, {"memory": 4 * GB}),
        ({"memory": "100 kb"}, {"memory": 102_400}),
        ({"gpu": 0, "cpu": 2.0}, {"cpu": 2}),
        ({}, {}),
    ],
)
def test_amounts_are_read_as_authors_write_them(given, kept) -> None:
    assert parse(given) == kept
    assert from_text(to_text(kept)) == kept


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (["gpu"], "must be a dictionary such as {'cpu': 2, 'memory': '4GB'}, not ['gpu']"),
        ({"memory": 4096}, "has 4096 of memory: say it with a unit, such as '512MB' or '4GB'"),
        ({"memory": "4096"}, "write a size as a number and a unit"),
        ({"memory": "4 apples"}, "has '4 apples' of memory: write a size"),
        ({"memory": "9000PB"}, "more than any machine has"),
        ({"cpu": "2"}, "has '2' of cpu, which must be a number"),
        ({"cpu": -1}, "must be a number, not negative"),
        ({"cpu": True}, "must be a number"),
        ({"cpu": float("nan")}, "must be a number"),
        ({"cpu": 0.0001}, "up to three decimals"),
        ({"gpus per node": 1}, "no name of a resource"),
        ({1: 1}, "has 1, which is no name of a resource"),
        ({"cpus": 2}, "has 'cpus', which is called 'cpu' here: 'cpu': 2"),
        ({"RAM": 512}, "has 'RAM', which is called 'memory' here: 'memory': '512MB'"),
        ({"CPU": 2}, "has 'CPU', which is written 'cpu'"),
        ({f"r{number}": 1 for number in range(21)}, "up to 20 resources, not 21"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_what_to_write(given, problem) -> None:
    with pytest.raises(ValueError) as caught:
        parse(given)
    assert problem in str(caught.value)


def test_amounts_may_be_one_text() -> None:
    assert parse_text("cpu=2, memory=4GB,gpu=0.5") == {"cpu": 2, "memory": 4 * GB, "gpu": 0.5}
    assert parse_text("") == {}
    for text in ("cpu", "cpu=1,cpu=2", "=1"):
        with pytest.raises(ValueError):
            parse_text(text)


def test_amounts_are_told_as_people_say_them() -> None:
    assert spoken({"gpu": 1, "memory": 4.2 * GB, "cpu": 0.5}) == "0.5 cpu, 4.2 GB of memory and 1 gpu"
    assert spoken({"memory": 200 << 20}) == "200 MB of memory"
    assert spoken({}) == "nothing"


def test_tenths_add_up_exactly() -> None:
    used: dict[str, float] = {}
    for _ in range(10):
        assert fits({"cpu": 0.1}, {"cpu": 1 - used.get("cpu", 0)})
        used = plus(used, {"cpu": 0.1})
    assert not fits({"cpu": 0.001}, {"cpu": 1 - used["cpu"]})


# --- packing ---------------------------------------------------------------------------------------------------------


def ask(ident: str, priority: int = 1, **amounts: float) -> Ask:
    return Ask("x", "default", amounts, (0, priority), ident)


def test_it_goes_where_it_fits_and_leaves_the_least_over() -> None:
    packing = Packing({"x": {"big": Place({"cpu": 8}), "gpu": Place({"cpu": 2, "gpu": 1}), "small": Place({"cpu": 2})}})
    assert packing.place_for(ask("a", cpu=2)) == "small"
    packing.put(ask("a", cpu=2), "small")
    assert packing.place_for(ask("b", cpu=2)) == "big"
    assert packing.place_for(ask("c", gpu=1)) == "gpu"
    assert packing.place_for(ask("d", cpu=9)) is None


def test_a_place_without_slots_or_of_another_queue_takes_nothing() -> None:
    full, elsewhere = Place({"cpu": 8}, slots=0), Place({"cpu": 8}, queues=frozenset({"gpu"}))
    packing = Packing({"x": {"full": full, "elsewhere": elsewhere, "silent": Place(None, slots=1)}})
    assert packing.place_for(ask("a", cpu=100)) == "silent"
    packing.put(ask("a", cpu=100), "silent")
    assert packing.place_for(ask("b", cpu=1)) is None
    assert packing.place_for(replace(ask("c", cpu=1), queue="gpu")) == "elsewhere"


amounts = st.dictionaries(st.sampled_from(["cpu", "gpu"]), st.integers(1, 4), min_size=1)
offers = st.dictionaries(st.sampled_from(["cpu", "gpu"]), st.integers(1, 8), min_size=1)
places = st.dictionaries(st.sampled_from("ABC"), offers, min_size=1)
asks = st.lists(st.tuples(amounts, st.integers(0, 1)), max_size=12)


def in_order(drawn: Iterable[tuple[dict[str, int], int]]) -> list[Ask]:
    """Asks in the order of their urgency and age."""
    made = [ask(f"{number:02}", priority, **what) for number, (what, priority) in enumerate(drawn)]
    return sorted(made, key=lambda each: (urgency(each.level), each.ident))


@settings(derandomize=True, max_examples=200)
@given(places=places, waiting=asks, order=st.randoms(use_true_random=False))
def test_no_place_is_ever_exceeded_and_the_first_gets_its_room_whoever_asks_before_it(places, waiting, order) -> None:
    built = {name: Place(offered) for name, offered in places.items()}
    packing = Packing({"x": built})
    queue = in_order(waiting)
    packing.hold("x", queue)
    first = next((each for each in queue if packing.could_hold(each)), None)
    turns = list(queue)
    order.shuffle(turns)
    for each in turns:
        if (name := packing.place_for(each)) is not None:
            packing.put(each, name)
            assert fits(built[name].used, built[name].offered)
        elif first is not None and each is first:
            # Only what is more urgent, or asks for the same, may have taken it.
            before = turns[: turns.index(each)]
            assert any(other.is_same_as(each) or urgency(other.level) < urgency(each.level) for other in before)


@settings(derandomize=True, max_examples=150)
@given(places=places, large=amounts, stream=st.lists(amounts, min_size=30, max_size=60), lives=st.integers(1, 3))
def test_a_stream_of_others_never_keeps_out_a_task_that_a_place_could_hold(places, large, stream, lives) -> None:
    """Each step one more task comes, has the first turn, and runs for some steps; the old one is in at last."""
    old = ask("00", **large)
    built = {name: Place(offered) for name, offered in places.items()}
    running: list[tuple[int, str, Ask]] = []
    if not Packing({"x": built}).could_hold(old):
        return
    for step, what in enumerate(stream):
        for ends, name, each in [entry for entry in running if entry[0] == step]:
            running.remove((ends, name, each))
            built[name].used = {key: amount - each.amounts.get(key, 0) for key, amount in built[name].used.items()}
        packing = Packing({"x": built})
        new = ask(f"{step + 1:02}", **what)
        packing.hold("x", [old, new])
        for each in (new, old):
            if each.is_same_as(old) and each is not old:
                continue  # those that ask for the same take turns: nothing is kept from one for the other
            if (name := packing.place_for(each)) is not None:
                packing.put(each, name)
                if each is old:
                    return
                running.append((step + lives, name, each))
    raise AssertionError("it waits for ever")


def test_a_worker_gets_what_waits_longest_for_what_it_has_instead_of_what_it_claims() -> None:
    waiting = [ask("1", cpu=4), ask("2", cpu=1), ask("3", cpu=1)]
    assert claimable(Place({"cpu": 4}), waiting, {"2", "3"}, 2) == ["1"]
    assert claimable(Place({"cpu": 4}, used={"cpu": 1}), waiting, {"2", "3"}, 2) == []
    assert claimable(Place({"cpu": 5}), waiting, {"2", "3"}, 2) == ["2", "1"]
    assert claimable(Place({"cpu": 2}), waiting, {"1", "3"}, 2) == ["3", "2"]
    assert claimable(Place({"cpu": 9}), waiting, {"1", "2", "3"}, 2) == ["1", "2"]
