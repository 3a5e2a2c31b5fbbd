"""What goes into an XCom comes out of it, exactly, or is refused with its place."""

from __future__ import annotations

import json
import math
import uuid
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clockmill.errors import SerializationError, XComTooLarge
from clockmill.xcom import MAX_DEPTH, check_size, decode, encode, length, to_display

ZURICH = ZoneInfo("Europe/Zurich")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Mode(Flag):
    READ = 1
    WRITE = 2


Point = namedtuple("Point", "x y")
BUILT: list[str] = []


@dataclass(frozen=True)
class Reading:
    station: str
    when: datetime
    tags: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        BUILT.append(self.station)


@dataclass(slots=True)
class Slotted:
    a: int


def exact(value: Any) -> None:
    """Assert that ``value`` comes back equal and of the same type, all the way down."""
    back = decode(encode(value), allow_classes=True)
    assert type(back) is type(value)
    assert back == value or "nan" in repr(value)
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**63,
        1.5,
        -0.0,
        5e-324,
        math.inf,
        -math.inf,
        math.nan,
        "",
        "häß \U0001f600 \0 \u2028",
        "\ud83d",
        "\ud83d\ude00",
        b"\x00\xff",
        bytearray(b"ab"),
        complex(1, -0.0),
        [],
        (),
        {},
        [1, [2, (3, {"a": (4,)})]],
        {1: "a", "1": "b", None: "c", (1, 2): "d", 1.5: "e", False: "f"},
        {"\ud800": 1},
        frozenset({1, 2}),
        date(2026, 1, 31),
        time(6, 30, 0, 1),
        time(6, 30, tzinfo=UTC),
        timedelta(days=-1, microseconds=3),
        datetime(2026, 1, 31, 6),  # noqa: DTZ001
        datetime(2026, 1, 31, 6, tzinfo=UTC),
        datetime(2026, 1, 31, 6, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
        datetime(2026, 7, 1, tzinfo=ZURICH),
        datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZURICH),
        datetime(2026, 10, 25, 2, 30, fold=1),  # noqa: DTZ001
        datetime.max.replace(tzinfo=UTC),
        Decimal("1.10"),
        Decimal("-0"),
        Decimal("Infinity"),
        uuid.UUID(int=7),
        Path("/tmp/a b"),
        PurePosixPath("x/\udcff"),
        Colour.RED,
        Level.LOW,
        Mode.READ | Mode.WRITE,
        Point(1, (2,)),
        Reading("s", datetime(2026, 1, 1, tzinfo=UTC), {"a"}),
        Slotted(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    exact(value)
    exact([{"nested": value}])


def test_an_integer_too_long_for_decimal_digits_comes_back() -> None:
    value = 10**5000
    assert decode(encode([value])) == [value]
    assert to_display(encode(value)) == hex(value)


def test_a_dataclass_is_not_built_again_by_its_constructor() -> None:
    text = encode(Reading("once", datetime(2026, 1, 1, tzinfo=UTC)))
    before = len(BUILT)
    assert decode(text, allow_classes=True).station == "once"
    assert len(BUILT) == before


def test_equal_sets_have_equal_text() -> None:
    assert encode({"b", "a", "c"}) == encode({"c", "b", "a"})


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
_KEYS = st.text() | st.integers() | st.sampled_from(["__type__", "value", "class"])
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner) | st.dictionaries(_KEYS, inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(_VALUES)
@settings(derandomize=True, max_examples=150, deadline=None)
def test_any_nested_value_comes_back_as_it_was(value: Any) -> None:
    exact(value)


@pytest.mark.parametrize(
    "forged",
    [
        {"__type__": "datetime", "value": "2026-01-01"},
        {"__type__": "dataclass", "class": "os:system", "value": {}},
        {"__type__": None},
    ],
)
def test_a_dictionary_that_looks_like_a_tag_stays_a_dictionary(forged: dict[str, Any]) -> None:
    exact(forged)
    assert to_display(encode(forged)) == forged


def test_the_error_names_the_type_and_the_place() -> None:
    with pytest.raises(SerializationError, match=r"value\['rows'\]\[1\]\.when: the type 'object' cannot be stored"):
        encode({"rows": [0, Reading("a", object())]})  # type: ignore[arg-type]


def test_a_subclass_of_a_plain_type_is_refused_with_the_way_out() -> None:
    with pytest.raises(SerializationError, match=r"OrderedDict' cannot be stored exactly; return dict\(\.\.\.\)"):
        encode(OrderedDict(a=1))


def test_a_class_inside_a_function_is_refused_when_it_is_stored() -> None:
    @dataclass
    class Inner:
        a: int

    with pytest.raises(SerializationError, match="define it at the top level"):
        encode(Inner(1))


def test_functions_and_generators_are_refused() -> None:
    for value in (len, lambda: 1, (i for i in ()), object, json):
        with pytest.raises(SerializationError, match="cannot be stored"):
            encode(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(SerializationError, match=f"more than {MAX_DEPTH} levels deep, or contains itself"):
        encode(loop)


def test_a_value_at_the_depth_limit_comes_back() -> None:
    deep: Any = 1
    for level in range(MAX_DEPTH):
        deep = {level: deep}
    exact(deep)
    with pytest.raises(SerializationError):
        encode([deep])


@pytest.mark.parametrize("text", ["[" * 100_000, "nonsense", '{"__type__": "tuple"}', '{"__type__": "?", "value": 1}'])
def test_text_that_we_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(SerializationError):
        decode(text)


def test_classes_are_loaded_only_by_a_reader_that_allows_it() -> None:
    text = encode(Colour.RED)
    with pytest.raises(SerializationError, match="only a task may load it"):
        decode(text)
    assert to_display(text) == "Colour.RED"


@pytest.mark.parametrize("place", ["os:system", "nowhere:Thing", "builtins:dict", "datetime:timezone", ":", "os"])
def test_a_class_that_is_none_of_ours_is_never_filled(place: str) -> None:
    text = json.dumps({"__type__": "dataclass", "class": place, "value": {"a": 1}})
    with pytest.raises(SerializationError):
        decode(text, allow_classes=True)


def test_too_large_a_value_says_what_to_do() -> None:
    with pytest.raises(XComTooLarge, match=r"'rows' takes 12 bytes; \[core\] max_xcom_bytes allows 11\. Write"):
        check_size("rows", encode("x" * 10), 11)
    check_size("rows", encode("x" * 9), 11)


def test_the_limit_counts_bytes_not_characters() -> None:
    with pytest.raises(XComTooLarge):
        check_size("k", encode("ä" * 5), 11)


@pytest.mark.parametrize(
    ("value", "expected"),
    [([1, 2], 2), ((1, 2, 3), 3), ({"a": 1}, 1), ({1: 2, 3: 4}, 2), ({1}, 1), ("abc", None), (1, None), (b"ab", None)],
)
def test_the_length_is_known_without_loading(value: Any, expected: int | None) -> None:
    assert length(encode(value)) == expected


def test_a_person_sees_plain_data() -> None:
    value = {
        "when": datetime(2026, 1, 1, tzinfo=UTC),
        "local": datetime(2026, 1, 1, tzinfo=ZURICH),
        "ids": (1, 2),
        "by": {1: Decimal("1.5")},
        "reading": Reading("s", datetime(2026, 1, 1, tzinfo=UTC)),
        "gap": timedelta(days=1, seconds=2),
    }
    assert to_display(encode(value)) == {
        "when": "2026-01-01T00:00:00+00:00",
        "local": "2026-01-01T00:00:00 Europe/Zurich",
        "ids": [1, 2],
        "by": {"1": "1.5"},
        "reading": {"station": "s", "when": "2026-01-01T00:00:00+00:00", "tags": []},
        "gap": "1 days 2 seconds",
    }
