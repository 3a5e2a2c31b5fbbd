"""The context of one attempt: everything that templates, operators and callbacks may ask for by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

from clockmill.clock import parse_iso_or_none
from clockmill.errors import UsageError, did_you_mean
from clockmill.model.dag import DAG
from clockmill.model.operator import BaseOperator
from clockmill.protocols import Workload
from clockmill.runtime.accessors import Variables, connections
from clockmill.runtime.channel import TaskChannel
from clockmill.runtime.instance import DagRun, TaskInstance
from clockmill.templating.dates import FILTERS

#: Airflow 2 names that are gone -> what to use instead.
REMOVED: Mapping[str, str] = {
    "conf": "dag_run.conf",
    "execution_date": "logical_date",
    "next_ds": "data_interval_end | ds",
    "next_ds_nodash": "data_interval_end | ds_nodash",
    "next_execution_date": "data_interval_end",
    "prev_ds": "macros.ds_add(ds, -1)",
    "prev_ds_nodash": "macros.ds_add(ds, -1)",
    "prev_execution_date": "data_interval_start",
    "prev_execution_date_success": "prev_data_interval_start_success",
    "tomorrow_ds": "macros.ds_add(ds, 1)",
    "tomorrow_ds_nodash": "macros.ds_add(ds, 1)",
    "triggering_dataset_events": "triggering_asset_events",
    "yesterday_ds": "macros.ds_add(ds, -1)",
    "yesterday_ds_nodash": "macros.ds_add(ds, -1)",
}

_PREVIOUS = (
    "prev_data_interval_start_success",
    "prev_data_interval_end_success",
    "prev_start_date_success",
    "prev_end_date_success",
)


class MissingFromContext(UsageError, KeyError):
    """The context has no such key in this run; also a ``KeyError``, so that ``.get`` works as on any mapping."""

    __str__ = Exception.__str__


class TaskContext(MutableMapping[str, Any]):
    """The context as a mapping whose values are made when they are first asked for.

    A key that has no value in this run, such as ``ds`` in a run without a logical date, is not in the mapping; asking
    for it tells why.
    """

    #: What costs a question to the database, so that ``**context`` alone does not ask it.
    asked_for = frozenset(_PREVIOUS)

    def __init__(self, makers: Mapping[str, Callable[[], Any]], absent: Mapping[str, str]) -> None:
        self._makers = dict(makers)
        self._absent = dict(absent)
        self._values: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        if key in self._values:
            return self._values[key]
        if key not in self._makers:
            raise MissingFromContext(self.explain(key) or f"The context has no {key!r}.{did_you_mean(key, self)}")
        value = self._values[key] = self._makers[key]()
        return value

    def explain(self, key: str) -> str | None:
        """Why ``key`` is not there, when more can be said than that."""
        if key in REMOVED:
            return f"The context has no {key!r} any more; use {REMOVED[key]}."
        return self._absent.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        self[key]
        self._values.pop(key)
        self._makers.pop(key, None)

    def __contains__(self, key: object) -> bool:
        return key in self._values or key in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._makers, *self._values]))

    def __len__(self) -> int:
        return len({*self._makers, *self._values})

    def __repr__(self) -> str:
        return f"<TaskContext {sorted(self)}>"


def make_context(workload: Workload, channel: TaskChannel, ti: TaskInstance, *, test_mode: bool = False) -> TaskContext:
    """The context of the attempt that ``workload`` describes."""
    task, run = ti.task, DagRun.of(workload)
    makers: dict[str, Callable[[], Any]] = {
        **_of_run(workload, channel, run),
        "dag": lambda: task.dag,
        "task": lambda: ti.task,
        "ti": lambda: ti,
        "task_instance": lambda: ti,
        "try_number": lambda: ti.try_number,
        "task_reschedule_count": lambda: workload.context.get("reschedules", 0),
        "params": lambda: _params(workload, task, run),
        "expanded_ti_count": lambda: _count_of(task, context),
        "map_index_template": lambda: ti.task.map_index_template,
        "templates_dict": lambda: getattr(ti.task, "templates_dict", None),
        "test_mode": lambda: test_mode,
        "task_instance_key_str": lambda: _key_text(ti, run),
    }
    absent = _add_dates(makers, run)
    context = TaskContext(makers, absent)
    return context


def make_run_context(workload: Workload, channel: TaskChannel, dag: DAG) -> TaskContext:
    """The context of a callback that is about the run of ``workload`` and none of its tasks."""
    run = DagRun.of(workload)
    makers: dict[str, Callable[[], Any]] = {**_of_run(workload, channel, run), "dag": lambda: dag}
    makers["params"] = lambda: workload.context.get("params", {})
    absent = _add_dates(makers, run)
    return TaskContext(makers, absent)


def _of_run(workload: Workload, channel: TaskChannel, run: DagRun) -> dict[str, Callable[[], Any]]:
    return {
        "dag_run": lambda: run,
        "run_id": lambda: run.run_id,
        "var": lambda: Variables(channel),
        "conn": lambda: connections(channel),
        "macros": lambda: import_module("clockmill.templating.macros"),
        **_previous(workload, channel),
    }


def _add_dates(makers: dict[str, Callable[[], Any]], run: DagRun) -> dict[str, str]:
    """Add the keys made of dates that the run has; returns why the others are not there."""
    absent: dict[str, str] = {}
    for name in ("data_interval_start", "data_interval_end"):
        _add(makers, absent, name, getattr(run, name), "data interval", run)
    _add(makers, absent, "logical_date", run.logical_date, "logical date", run)
    for name, short in FILTERS.items():
        value = short(run.logical_date) if run.logical_date else None
        _add(makers, absent, name, value, "logical date", run)
    return absent


def _add(
    makers: dict[str, Callable[[], Any]], absent: dict[str, str], name: str, value: Any, what: str, run: DagRun
) -> None:
    if value is None:
        absent[name] = (
            f"The run {run.run_id!r} has no {what}, so there is no {name!r} in it; use dag_run.run_after, or trigger "
            "it with --logical-date."
        )
    else:
        makers[name] = lambda: value


def _previous(workload: Workload, channel: TaskChannel) -> dict[str, Callable[[], Any]]:
    """What is known of the newest earlier run that succeeded, asked for once; None for a DAG that had none."""
    known: dict[str, Any] | None = workload.context.get("previous")

    def look_up(name: str) -> Any:
        nonlocal known
        if known is None:
            dates = channel.get_previous_run()
            known = {f"prev_{each}_success": value for each, value in dates.items()}
        return parse_iso_or_none(known.get(name))

    def maker(name: str) -> Callable[[], Any]:
        return lambda: look_up(name)

    return {name: maker(name) for name in _PREVIOUS}


def _params(workload: Workload, task: BaseOperator, run: DagRun) -> dict[str, Any]:
    """The parameters of the run; those of the task go before the DAG's, and the run's own before both."""
    of_run = workload.context.get("params", {})
    own = {name: param.value for name, param in task.params.items()}
    return {**of_run, **own, **{name: value for name, value in run.conf.items() if name in of_run or name in own}}


def _count_of(task: BaseOperator, context: TaskContext) -> int | None:
    """How many instances a mapped task has, or else the innermost mapped group around it; None when there is none."""
    if task.mapping is not None:
        return task.mapping.over.size(context)
    over = task.mapped_groups[-1].over if task.mapped_groups else None
    return over.size(context) if over is not None else None


def _key_text(ti: TaskInstance, run: DagRun) -> str:
    day = FILTERS["ds_nodash"](run.logical_date) or run.run_id
    return f"{ti.dag_id}__{ti.task_id}__{day}"
