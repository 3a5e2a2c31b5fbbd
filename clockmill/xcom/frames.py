"""numpy scalars and arrays, pandas frames, series and indexes.

Loaded only when a value of these libraries is met, or a tag that needs them. Arrays are kept as their bytes in
base64, with the dtype in numpy's own notation, so that every bit comes back.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from clockmill.errors import SerializationError
from clockmill.xcom.walk import TAG, Reader, Writer


def encode(value: Any, writer: Writer) -> dict[str, Any]:
    """A value whose class belongs to numpy or pandas, as a tagged dictionary."""
    tag = _tag_of(value)
    if tag is None:
        kind = type(value)
        writer.fail(
            f"the type '{kind.__module__}.{kind.__qualname__}' cannot be stored; convert it to text or a plain array."
        )
    return {TAG: tag, **_WRITERS[tag](value, writer)}


def decode(tag: str, data: Mapping[str, Any], reader: Reader) -> Any:
    """The value that :func:`encode` wrote.

    :raises SerializationError: when the library that it needs is not installed.
    """
    library = tag.partition(".")[0]
    try:
        module = import_module(library)
    except ImportError as error:
        raise SerializationError(f"The value is a {tag}, and {library} is not installed here.") from error
    if tag not in _READERS:
        raise SerializationError(f"The value has the unknown type tag {tag!r}.")
    return _READERS[tag](module, data, reader)


def _tag_of(value: Any) -> str | None:
    numpy, pandas = sys.modules["numpy"], sys.modules.get("pandas")
    if isinstance(value, numpy.generic):
        return "numpy.scalar"
    if type(value) is numpy.ndarray:
        return "numpy.ndarray"
    if pandas is None:
        return None
    if value is pandas.NaT or value is pandas.NA:
        return "pandas.missing"
    if isinstance(value, pandas.Index):
        return _index_tag(value, pandas)
    names = ("DataFrame", "Series", "Timestamp", "Timedelta")
    return next((f"pandas.{name}" for name in names if type(value) is getattr(pandas, name)), None)


def _index_tag(index: Any, pandas: Any) -> str:
    if isinstance(index, pandas.RangeIndex):
        return "pandas.RangeIndex"
    return "pandas.MultiIndex" if isinstance(index, pandas.MultiIndex) else "pandas.Index"


# --- numpy ---------------------------------------------------------------------------------------------------------


def _write_scalar(value: Any, writer: Writer) -> dict[str, Any]:
    if value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return {"dtype": value.dtype.str, "value": writer.field("item()", value.item())}
    return _write_array(sys.modules["numpy"].asarray(value), writer)


def _read_scalar(numpy: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    if "shape" in data:
        return _read_array(numpy, data, reader)[()]
    return numpy.dtype(data["dtype"]).type(reader.decode(data["value"]))


def _write_array(array: Any, writer: Writer) -> dict[str, Any]:
    shape, dtype = list(array.shape), array.dtype
    if dtype.kind == "O":
        return {"dtype": "O", "shape": shape, "value": [writer.item(i, x) for i, x in enumerate(array.ravel())]}
    if dtype.hasobject or dtype.kind == "T":
        writer.fail(f"an array of dtype {dtype} cannot be stored; use astype(object) or one array per field.")
    described = sys.modules["numpy"].lib.format.dtype_to_descr(dtype)
    return {"dtype": writer.field("dtype", described), "shape": shape, "value": _base64(array.tobytes())}


def _read_array(numpy: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    shape = tuple(data["shape"])
    if data["dtype"] == "O":
        flat = numpy.empty(len(data["value"]), dtype=object)
        flat[:] = [reader.decode(item) for item in data["value"]]
        return flat.reshape(shape)
    dtype = numpy.lib.format.descr_to_dtype(reader.decode(data["dtype"]))
    # A copy, because an array over bytes is read-only.
    return numpy.frombuffer(base64.b64decode(data["value"]), dtype=dtype).reshape(shape).copy()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- pandas --------------------------------------------------------------------------------------------------------


def _write_frame(frame: Any, writer: Writer) -> dict[str, Any]:
    columns = [_write_column(frame.iloc[:, i].array, writer) for i in range(frame.shape[1])]
    return {
        "columns": writer.field("columns", frame.columns),
        "index": writer.field("index", frame.index),
        "data": columns,
        "attrs": writer.field("attrs", dict(frame.attrs)),
    }


def _read_frame(pandas: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    index = reader.decode(data["index"])
    columns = [_read_column(pandas, column, reader) for column in data["data"]]
    frame = pandas.DataFrame(dict(enumerate(columns)), index=index)
    frame.columns = reader.decode(data["columns"])
    frame.attrs = reader.decode(data["attrs"])
    return frame


def _write_series(series: Any, writer: Writer) -> dict[str, Any]:
    return {
        "name": writer.field("name", series.name),
        "index": writer.field("index", series.index),
        "data": _write_column(series.array, writer),
        "attrs": writer.field("attrs", dict(series.attrs)),
    }


def _read_series(pandas: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    values = _read_column(pandas, data["data"], reader)
    series = pandas.Series(values, index=reader.decode(data["index"]), name=reader.decode(data["name"]))
    series.attrs = reader.decode(data["attrs"])
    return series


def _write_index(index: Any, writer: Writer) -> dict[str, Any]:
    # Whether a regular index knows its own frequency is part of what two frames are compared by.
    frequency = getattr(index, "freqstr", None)
    return {"data": _write_column(index.array, writer), "name": writer.field("name", index.name), "freq": frequency}


def _read_index(pandas: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    index = pandas.Index(_read_column(pandas, data["data"], reader), name=reader.decode(data["name"]))
    if data["freq"] is not None:
        index.freq = data["freq"]
    return index


def _write_range(index: Any, writer: Writer) -> dict[str, Any]:
    return {"range": [index.start, index.stop, index.step], "name": writer.field("name", index.name)}


def _read_range(pandas: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    return pandas.RangeIndex(*data["range"], name=reader.decode(data["name"]))


def _write_multi(index: Any, writer: Writer) -> dict[str, Any]:
    return {
        "levels": [writer.field("levels", level) for level in index.levels],
        "codes": [[int(code) for code in codes] for codes in index.codes],
        "names": writer.field("names", list(index.names)),
    }


def _read_multi(pandas: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    levels = [reader.decode(level) for level in data["levels"]]
    return pandas.MultiIndex(levels=levels, codes=data["codes"], names=reader.decode(data["names"]))


def _write_column(array: Any, writer: Writer) -> dict[str, Any]:
    """The values of one column: as a numpy array, a categorical, zoned times, or one by one."""
    pandas = sys.modules["pandas"]
    if isinstance(array, pandas.Categorical):
        codes = [int(code) for code in array.codes]
        return {"categories": writer.field("categories", array.categories), "ordered": array.ordered, "codes": codes}
    if isinstance(array.dtype, pandas.DatetimeTZDtype):
        zone = str(array.dtype.tz)
        _check_dtype(array.dtype, writer)
        return {"unit": array.dtype.unit, "zone": zone, "numbers": _base64(array.asi8.tobytes())}
    if type(array) is pandas.arrays.NumpyExtensionArray or isinstance(array.dtype, sys.modules["numpy"].dtype):
        return {"array": writer.field("array", array.to_numpy())}
    _check_dtype(array.dtype, writer)
    missing = pandas.isna(array)
    items = [None if gone else item for item, gone in zip(array.tolist(), missing, strict=True)]
    return {"dtype": str(array.dtype), "values": [writer.item(i, item) for i, item in enumerate(items)]}


def _read_column(pandas: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    if "array" in data:
        return reader.decode(data["array"])
    if "codes" in data:
        categories = reader.decode(data["categories"])
        return pandas.Categorical.from_codes(data["codes"], categories=categories, ordered=data["ordered"])
    if "numbers" in data:
        numpy = import_module("numpy")
        moments = numpy.frombuffer(base64.b64decode(data["numbers"]), dtype="i8").view(f"M8[{data['unit']}]")
        return pandas.DatetimeIndex(moments, tz="UTC").tz_convert(data["zone"]).array
    return pandas.array([reader.decode(item) for item in data["values"]], dtype=data["dtype"])


def _check_dtype(dtype: Any, writer: Writer) -> None:
    """Refuse an extension type whose name alone does not give it back."""
    try:
        same = sys.modules["pandas"].api.types.pandas_dtype(str(dtype)) == dtype
    except (TypeError, ValueError):
        same = False
    if not same or dtype.kind not in "biufUSMOT":
        writer.fail(f"a column of dtype {dtype} cannot be stored exactly; use astype() first.")


def _write_timestamp(value: Any, writer: Writer) -> dict[str, Any]:
    zone = value.tz and str(value.tz)
    return {"unit": value.unit, "number": value.asm8.view("i8").item(), "zone": zone}


def _read_timestamp(pandas: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    moment = pandas.Timestamp(import_module("numpy").datetime64(data["number"], data["unit"]))
    return moment.tz_localize("UTC").tz_convert(data["zone"]) if data["zone"] else moment


def _write_duration(value: Any, writer: Writer) -> dict[str, Any]:
    return {"unit": value.unit, "number": value.asm8.view("i8").item()}


def _read_duration(pandas: Any, data: Mapping[str, Any], reader: Reader) -> Any:
    return pandas.Timedelta(import_module("numpy").timedelta64(data["number"], data["unit"]))


_WRITERS: Mapping[str, Callable[[Any, Writer], dict[str, Any]]] = {
    "numpy.scalar": _write_scalar,
    "numpy.ndarray": _write_array,
    "pandas.missing": lambda value, writer: {"value": "NaT" if value is sys.modules["pandas"].NaT else "NA"},
    "pandas.DataFrame": _write_frame,
    "pandas.Series": _write_series,
    "pandas.Index": _write_index,
    "pandas.RangeIndex": _write_range,
    "pandas.MultiIndex": _write_multi,
    "pandas.Timestamp": _write_timestamp,
    "pandas.Timedelta": _write_duration,
}

_READERS: Mapping[str, Callable[[Any, Mapping[str, Any], Reader], Any]] = {
    "numpy.scalar": _read_scalar,
    "numpy.ndarray": _read_array,
    "pandas.missing": lambda pandas, data, reader: pandas.NaT if data["value"] == "NaT" else pandas.NA,
    "pandas.DataFrame": _read_frame,
    "pandas.Series": _read_series,
    "pandas.Index": _read_index,
    "pandas.RangeIndex": _read_range,
    "pandas.MultiIndex": _read_multi,
    "pandas.Timestamp": _read_timestamp,
    "pandas.Timedelta": _read_duration,
}
