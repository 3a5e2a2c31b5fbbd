"""Callbacks in a process of their own: what they are told, what their log holds, how they end."""

from __future__ import annotations

import json

FILE = """
import asyncio, json, os, pathlib, time
from datetime import timedelta
from clockmill import (AsyncCallback, BaseNotifier, BaseOperator, DAG, DeadlineAlert, DeadlineReference, SyncCallback)

class Page(BaseNotifier):
    template_fields = ("text",)
    def __init__(self, text): self.text = text
    def notify(self, context): print("page:", self.text)

class Chat(BaseNotifier):
    template_fields = ("text",)
    def __init__(self, text): self.text = text
    async def async_notify(self, context): await asyncio.sleep(0); print("chat:", self.text)

def tell_run(context):
    print(json.dumps([context["dag"].dag_id, context["dag_run"].run_id, context["reason"], context["failed_tasks"],
                      context["dag_run"].state, "ti" in context, context["params"]]))

def tell_task(context):
    ti = context["ti"]
    print(json.dumps([ti.task_id, ti.try_number, type(context["exception"]).__name__, str(context["exception"])]))

def broken(context): raise KeyError("nobody to tell")

async def coroutine(context): await asyncio.sleep(0); print("awaited", context["run_id"])

def late(run_id, owner, context): print(json.dumps([run_id, owner, context["deadline"]["name"]]))

async def late_async(owner): print("async", owner)

def exit_now(context): raise SystemExit(3)
def hang(context): time.sleep(60)
def die(context): os.kill(os.getpid(), 9)

class Noop(BaseOperator):
    def execute(self, context): print("the task itself")

alerts = [
    DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(hours=1),
                  callback=[SyncCallback(late, kwargs={"owner": "ann"}),
                            AsyncCallback("helpers.later", kwargs={"owner": "bob"})]),
    DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(hours=1),
                  callback=SyncCallback(Page, kwargs={"text": "{{ run_id }} is late: {{ deadline.name }}"})),
]
with DAG("work", schedule=None, deadline=alerts, on_success_callback=exit_now,
         on_failure_callback=[tell_run, broken, Page("{{ run_id }}: {{ reason }}")]) as dag:
    Noop(task_id="t", on_failure_callback=[tell_task, Chat("{{ task.task_id }} try {{ ti.try_number }}"), coroutine],
         on_retry_callback=hang, on_deadline_missed_callback=die)
"""
REASON = "It was killed by SIGKILL; its peak was 9.0 MB. The crash budget of 3 is spent."


def call(bench, kind, task_id="", told=None, **options):
    (bench.bundle / "work.py").write_text(FILE)
    (bench.bundle / "helpers.py").write_text("async def later(owner): print('later', owner)\n")
    log = bench.home / "logs" / "work" / "run" / "callbacks" / "1.log"
    run = {"run_id": "run", "run_type": "manual", "conf": {}, "state": "failed"}
    report = bench.run(
        bench.executor(),
        task_id,
        try_number=2,
        callback={"id": 1, "kind": kind, "context": {"reason": REASON, **(told or {})}},
        context={"dag_run": run, "params": {"a": 1}, "max_tries": 2},
        log_path=str(log),
        **options,
    )
    lines = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    return report, [line for line in lines if not line.startswith("***")]


def test_a_callback_of_a_killed_task_is_told_of_its_task_and_why_it_ended(bench):
    report, said = call(bench, "on_failure_callback", "t")
    assert (report.outcome, report.reason) == ("success", "")
    assert json.loads(said[0]) == ["t", 2, "TaskEnded", REASON]
    assert said[1:] == ["chat: t try 2", "awaited run"]  # a notifier with its template filled in, a coroutine


def test_a_callback_of_a_run_is_told_of_the_run_and_one_that_raises_keeps_nobody_from_being_called(bench):
    report, said = call(bench, "on_failure_callback", told={"failed_tasks": ["t"], "reason": "task_failure: t"})
    assert (report.outcome, report.reason) == ("failed", "KeyError: 'nobody to tell'")
    assert json.loads(said[0]) == ["work", "run", "task_failure: t", ["t"], "failed", False, {"a": 1}]
    assert said[-1] == "page: run: task_failure: t"
    assert any("KeyError: 'nobody to tell'" in line for line in said)


def test_deadline_callbacks_are_given_their_arguments_and_what_they_name_of_the_context(bench):
    told = {"deadline": {"name": "morning", "due_at": "2026-01-01T06:00:00+00:00"}}
    report, said = call(bench, "deadline:0", told=told)
    assert report.outcome == "success"
    assert [json.loads(said[0]), said[1]] == [["run", "ann", "morning"], "later bob"]
    report, said = call(bench, "deadline:1", told=told)
    assert said[-1] == "page: run is late: morning"


def test_a_callback_that_exits_hangs_or_dies_ends_as_a_task_would(bench):
    report, _ = call(bench, "on_success_callback")
    assert (report.outcome, report.reason) == ("failed", "SystemExit: 3")
    report, _ = call(bench, "on_retry_callback", "t", execution_timeout=0.3)
    assert report.outcome == "failed" and "0.3 s" in report.reason
    report, _ = call(bench, "on_deadline_missed_callback", "t")
    assert (report.outcome, report.signal) == ("lost", 9)
    report, said = call(bench, "deadline:7")
    assert report.outcome == "failed" and "has no deadline:7" in report.reason
    assert said != [] and "the task itself" not in said
