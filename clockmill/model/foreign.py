"""Imports of Airflow in a DAG file: which import of ours takes their place."""

from __future__ import annotations

import re

from clockmill.errors import nearest

_TOP = "clockmill"
_BASH, _PYTHON, _EMPTY = "clockmill.operators.bash", "clockmill.operators.python", "clockmill.operators.empty"

#: Sensors, triggers and what waits, by the module of ours that has them.
_WAITING = {
    _TOP: ("BaseSensorOperator", "PokeReturnValue"),
    "clockmill.triggers": ("BaseTrigger", "TriggerEvent"),
    "clockmill.triggers.temporal": ("DateTimeTrigger", "TimeDeltaTrigger"),
    "clockmill.triggers.file": ("FileTrigger", "FileDeleteTrigger"),
    "clockmill.triggers.external_task": ("WorkflowTrigger", "DagStateTrigger"),
    "clockmill.sensors.bash": ("BashSensor",),
    "clockmill.sensors.date_time": ("DateTimeSensor",),
    "clockmill.sensors.external_task": ("ExternalTaskSensor", "ExternalTaskMarker"),
    "clockmill.sensors.filesystem": ("FileSensor",),
    "clockmill.sensors.python": ("PythonSensor",),
    "clockmill.sensors.time_delta": ("TimeDeltaSensor", "WaitSensor"),
    "clockmill.sensors.time_sensor": ("TimeSensor",),
    "clockmill.sensors.weekday": ("DayOfWeekSensor",),
    "clockmill.operators.datetime": ("BranchDateTimeOperator",),
    "clockmill.operators.latest_only": ("LatestOnlyOperator",),
    "clockmill.operators.trigger_dagrun": ("TriggerDagRunOperator",),
    "clockmill.operators.weekday": ("BranchDayOfWeekOperator",),
    "clockmill.hooks.subprocess": ("SubprocessHook",),
    "clockmill.model.weekday": ("WeekDay",),
}

#: For a name that DAG files import from Airflow, the module of ours that has it and the name that it has there.
IMPORTS: dict[str, tuple[str, str]] = {
    **{
        name: (_TOP, name)
        for name in (
            *("DAG", "dag", "task", "task_group", "TaskGroup", "chain", "chain_linear", "cross_downstream", "Label"),
            *("Param", "XComArg", "get_current_context", "BaseOperator", "TriggerRule", "setup", "teardown"),
            "PriorityWeightStrategy",
        )
    },
    "AirflowSkipException": (_TOP, "SkipTask"),
    "AirflowFailException": (_TOP, "FailTask"),
    "AirflowException": ("clockmill.errors", "ClockmillError"),
    "BashOperator": (_BASH, "BashOperator"),
    "PythonOperator": (_PYTHON, "PythonOperator"),
    "BranchPythonOperator": (_PYTHON, "BranchPythonOperator"),
    "ShortCircuitOperator": (_PYTHON, "ShortCircuitOperator"),
    "BaseBranchOperator": ("clockmill.operators.branch", "BaseBranchOperator"),
    "EmptyOperator": (_EMPTY, "EmptyOperator"),
    "DummyOperator": (_EMPTY, "EmptyOperator"),
    **{name: (module, name) for module, names in _WAITING.items() for name in names},
    "BaseSensor": (_TOP, "BaseSensorOperator"),
    "AirflowSensorTimeout": ("clockmill.errors", "SensorTimeout"),
    "AirflowRescheduleException": ("clockmill.errors", "RescheduleTask"),
    "TaskDeferred": ("clockmill.errors", "TaskDeferred"),
    "TimeSensorAsync": ("clockmill.sensors.time_sensor", "TimeSensor"),
    "DateTimeSensorAsync": ("clockmill.sensors.date_time", "DateTimeSensor"),
    "TimeDeltaSensorAsync": ("clockmill.sensors.time_delta", "TimeDeltaSensor"),
    "CronTriggerTimetable": ("clockmill.timetables", "CronTriggerTimetable"),
    "CronDataIntervalTimetable": ("clockmill.timetables", "CronDataIntervalTimetable"),
    "MultipleCronTriggerTimetable": ("clockmill.timetables", "MultipleCronTriggerTimetable"),
    "EventsTimetable": ("clockmill.timetables", "EventsTimetable"),
    "Timetable": ("clockmill.timetables", "CustomTimetable"),
    "DeltaTriggerTimetable": ("clockmill.timetables", "DeltaTriggerTimetable"),
    "DeltaDataIntervalTimetable": ("clockmill.timetables", "DeltaDataIntervalTimetable"),
}

#: Names without an import of ours, and what to write instead.
ADVICE = {
    "days_ago": "Give a fixed start_date, such as datetime(2024, 1, 1).",
    "Variable": "Read variables in templates: {{ var.value.NAME }}.",
    "Connection": "Read connections in templates: {{ conn.NAME.host }}.",
}

_FROM = re.compile(r"\s*from\s+(airflow[\w.]*)\s+import\s+(.+)")
_PLAIN = re.compile(r"\s*import\s+(airflow[\w.]*)")


def import_to_use(error: ImportError, source_line: str) -> str | None:
    """What to write instead of an import of Airflow that failed.

    :param error: the failure.
    :param source_line: the line that failed.
    :returns: one sentence or more for the author, or None when it was no import of Airflow.
    """
    if (error.name or "").partition(".")[0] != "airflow":
        return None
    match = _FROM.match(source_line)
    if match is None:
        module = _PLAIN.match(source_line)
        wanted = f"import {module[1]}" if module else "Airflow"
        return f"Airflow is not available here ({wanted}): write 'from clockmill import DAG, task' and the like."
    names = [part.split(" as ")[0].strip(" ()\\") for part in match[2].partition("#")[0].split(",")]
    found = [_replacement(name) for name in names if name]
    instead = " ".join(dict.fromkeys(found)) or "Write 'from clockmill import ...'."
    return f"Airflow is not available here (from {match[1]} import {match[2].strip()}). {instead}"


def _replacement(name: str) -> str:
    if name in IMPORTS:
        module, ours = IMPORTS[name]
        renamed = "" if ours == name else f", which takes the place of {name}"
        return f"Use 'from {module} import {ours}'{renamed}."
    if name in ADVICE:
        return f"There is no {name}. {ADVICE[name]}"
    if near := nearest(name, IMPORTS):
        module, ours = IMPORTS[near]
        return f"There is no {name}; the nearest is 'from {module} import {ours}'."
    return f"There is no {name}."
