"""Values of numpy, pandas and pydantic, when these are installed."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import pytest

from clockmill.errors import SerializationError
from clockmill.xcom import decode, encode, to_display

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
pydantic = pytest.importorskip("pydantic")


class Address(pydantic.BaseModel):  # type: ignore[misc,name-defined,unused-ignore]
    street: str


class Person(pydantic.BaseModel):  # type: ignore[misc,name-defined,unused-ignore]
    model_config = pydantic.ConfigDict(extra="allow")

    name: str = pydantic.Field(alias="Name")
    born: date | None = None
    homes: list[Address] = []
    _secret: int = pydantic.PrivateAttr(default=1)


def back(value: Any) -> Any:
    return decode(encode(value), allow_classes=True)


@pytest.mark.parametrize(
    "scalar",
    [
        np.int8(-3),
        np.uint64(2**64 - 1),
        np.float32(0.1),
        np.float64("nan"),
        np.float16(1.5),
        np.bool_(True),
        np.complex128(1 + 2j),
        np.datetime64("2026-01-01T00:00:00.000000001", "ns"),
        np.timedelta64(5, "D"),
        np.str_("häß"),
        np.str_(""),
        np.bytes_(b"ab"),
        np.longdouble("1.1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numpy_scalars_keep_their_type_and_bits(scalar: Any) -> None:
    result = back(scalar)
    assert type(result) is type(scalar)
    assert result.dtype == scalar.dtype
    assert result == scalar or scalar != scalar


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="<i2").reshape(2, 3),
        np.array([1.5, np.nan], dtype=">f8"),
        np.array([], dtype="f4"),
        np.array(3),
        np.array([{"a": 1}, None, (1,)], dtype=object),
        np.array(["a", "bcd"]),
        np.array(["2026-01-01"], dtype="M8[s]"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.asfortranarray(np.arange(4).reshape(2, 2)),
    ],
    ids=lambda value: str(value.dtype),
)
def test_numpy_arrays_come_back_as_they_were(array: Any) -> None:
    result = back(array)
    assert result.dtype == array.dtype
    assert result.flags.writeable
    np.testing.assert_array_equal(result, array)


def test_a_masked_array_is_refused() -> None:
    with pytest.raises(SerializationError, match="MaskedArray"):
        encode(np.ma.array([1], mask=[True]))


def _frames() -> list[Any]:
    days = pd.date_range("2026-03-28", periods=3, tz="Europe/Zurich")
    return [
        pd.DataFrame(),
        pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [1.5, float("nan")]}),
        pd.DataFrame({"i": pd.array([1, None, 3], dtype="Int64"), "t": days}, index=days),
        pd.DataFrame({"k": pd.Categorical(["b", "a", "b"], categories=["b", "a"], ordered=True)}),
        pd.DataFrame([[1, 2]], columns=["same", "same"]),
        pd.DataFrame({("a", 1): [1], ("a", 2): [2]}),
        pd.DataFrame({"o": [date(2026, 1, 1), {"x": (1,)}]}, index=pd.Index(["p", "q"], name="key")),
        pd.DataFrame({"b": pd.array([True, None], dtype="boolean"), "s": pd.array(["x", None], dtype="string")}),
        pd.DataFrame({"n": [1, 2, 3]}).groupby("n").sum(),
        pd.DataFrame({"u": pd.to_datetime(["2026-01-01"]).as_unit("s"), "d": pd.to_timedelta([5], unit="s")}),
        pd.DataFrame({"a": [1, 2, 3]}).iloc[::2],
        pd.DataFrame({"s": pd.arrays.SparseArray([0, 0, 1])}),
    ]


@pytest.mark.parametrize("number", range(len(_frames())))
def test_frames_come_back_as_they_were(number: int) -> None:
    frame = _frames()[number]
    frame.attrs["source"] = "noaa"
    result = back(frame)
    pd.testing.assert_frame_equal(result, frame, check_freq=True, check_index_type="exact", check_flags=True)
    assert result.attrs == frame.attrs


def test_series_indexes_and_moments_come_back_as_they_were() -> None:
    series = pd.Series([1, 2], index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["x", None]), name=("n", 1))
    pd.testing.assert_series_equal(back(series), series)
    pd.testing.assert_index_equal(back(series.index), series.index, exact=True)
    for value in (
        pd.Timestamp("2026-01-01T00:00:00.000000001", tz="Europe/Zurich"),
        pd.Timestamp("2026-01-01"),
        pd.Timedelta(5, "ns"),
    ):
        assert back(value) == value
        assert type(back(value)) is type(value)
        assert back(value).unit == value.unit
    assert back(pd.NaT) is pd.NaT
    assert back([pd.NA])[0] is pd.NA


def test_a_column_that_cannot_come_back_exactly_is_refused() -> None:
    periods = pd.array(pd.period_range("2026", periods=2, freq="D"))
    with pytest.raises(SerializationError, match=r"'pandas.Period' cannot be stored; convert it"):
        encode(pd.DataFrame({"p": periods}))


def test_models_come_back_without_being_validated_again() -> None:
    person = Person(Name="Ada", born=date(1815, 12, 10), homes=[Address(street="Main")], nick="A")
    person._secret = 7
    result = back(person)
    assert result == person
    assert result.model_fields_set == person.model_fields_set
    assert result._secret == 7
    assert result.nick == "A"
    result.name = "changed"
    assert person.name == "Ada"


def test_a_model_is_shown_as_its_fields() -> None:
    shown = to_display(encode(Address(street="Main")))
    assert shown["fields"] == {"street": "Main"}


def test_showing_a_frame_loads_nothing() -> None:
    text = encode(pd.DataFrame({"a": [datetime(2026, 1, 1, tzinfo=UTC)]}))
    program = (
        "import sys; from clockmill.xcom import to_display; to_display(sys.stdin.read());"
        "sys.exit(bool({'numpy', 'pandas', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], input=text, text=True, check=False).returncode == 0
