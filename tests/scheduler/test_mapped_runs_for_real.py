"""Mapped runs of a real scheduler over a real database end as ``dag.test()`` says that they will.

The attempts run in this process, reading through the task gateway; what they report goes to the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import clockmill.dags
from clockmill import DAG, SkipTask, task, task_group
from clockmill.model.loader import load_dags
from clockmill.protocols import StatesQuery, StatesSeen, Workload, XComQuery
from clockmill.runtime import pipeline
from clockmill.runtime.inprocess import run_dag
from clockmill.state import RunState
from clockmill.storage.crypto import Cipher, create_key_file
from clockmill.storage.engine import Database
from clockmill.storage.gateway import DatabaseGateway
from clockmill.storage.xcoms import list_xcoms
from clockmill.xcom import decode
from tests.mill import Mill

Instance = tuple[str, str, int, int]


@dataclass
class GatewayChannel:
    """The line of an attempt straight to the task gateway."""

    gateway: DatabaseGateway
    workload: Workload
    asked: list[tuple[str, str]] = field(default_factory=list)

    def get_xcoms(self, query: XComQuery) -> list[tuple[str, int, str]]:
        self._note("get_xcoms")
        return self.gateway.get_xcoms(self.workload.attempt_id, self.workload.token, query=query.to_json())

    def measure_xcoms(self, query: XComQuery) -> tuple[int, int | None]:
        self._note("measure_xcoms")
        return self.gateway.measure_xcoms(self.workload.attempt_id, self.workload.token, query=query.to_json())

    def get_previous_run(self) -> dict[str, str | None]:
        return {}

    def get_variable(self, key: str) -> str | None:
        return None

    def get_connection(self, conn_id: str) -> dict[str, Any] | None:
        return None

    def get_states(self, query: StatesQuery) -> StatesSeen:
        raise AssertionError("nobody asks")

    def started(self, at: str) -> None:
        """Nobody watches."""

    def _note(self, method: str) -> None:
        self.asked.append((self.workload.task_id, method))


@pytest.fixture
def gateway(database: Database, tmp_path: Path) -> Iterator[DatabaseGateway]:
    create_key_file(tmp_path / "fernet.key")
    yield DatabaseGateway(database, Cipher(tmp_path / "fernet.key"))


def run_all(mill: Mill, gateway: DatabaseGateway, dag: DAG) -> list[tuple[str, str]]:
    """Run every attempt that the scheduler hands out; returns which task asked for what."""
    asked: list[tuple[str, str]] = []
    while mill.executor.held:
        for workload in list(mill.executor.held.values()):
            channel = GatewayChannel(gateway, workload, asked)
            report = pipeline.execute(workload, load=lambda: dag, channel=channel, clock=mill.clock, test_mode=True)
            names = ("reason", "xcoms", "branch", "skips", "label")
            told = {name: getattr(report, name) for name in names}
            mill.executor.finish(workload.task_id, report.outcome, map_index=workload.map_index, **told)
        mill.pump()
    return asked


def as_run(mill: Mill, dag: DAG) -> dict[Instance, tuple[str, str, str]]:
    xcoms = mill.db.read(lambda c: list_xcoms(c, dag.dag_id, "r1"))
    values = {(x["task_id"], x["map_index"]): repr(decode(x["value"])) for x in xcoms}
    return {
        (row.task_id, row.scope, row.map_index, row.item): (
            str(row.state), row.label, values.get((row.task_id, row.map_index), "None")
        )
        for row in mill.rows(dag.dag_id)
    }  # fmt: skip


def as_tested(dag: DAG, conf: dict[str, Any]) -> dict[Instance, tuple[str, str, str]]:
    return {
        (each.task_id, each.scope, each.map_index, each.item): (str(each.state), each.label, repr(each.xcom_pull()))
        for each in run_dag(dag, run_conf=conf).get_task_instances()
    }


def example(name: str) -> DAG:
    folder = Path(clockmill.dags.__file__).parent
    (dag,) = load_dags(folder / f"{name}.py", f"example_{name}", folder)
    return dag


def deep() -> DAG:
    """Maps in maps in maps, some of them empty, with branches and skips inside."""

    def no_threes(number: int) -> int:
        if number == 3:
            raise SkipTask("three is out")
        return number

    with DAG("deep") as dag:

        @task
        def below(number: int) -> list[int]:
            return list(range(number))

        @task
        def keep(value: Any) -> Any:
            return value

        @task.branch
        def choose(number: int) -> str:
            return "outer.inner.low" if number < 2 else "outer.inner.high"

        @task_group
        def inner(y: Any) -> Any:
            found = below(y)
            kept = keep.expand(value=found.map(no_threes).zip(found.concat([7]), fillvalue="end"))
            both = [keep.override(task_id=name)(y) for name in ("low", "high")]
            choose(y) >> both
            both >> keep.override(task_id="join", trigger_rule="none_failed_min_one_success")(y)
            return kept

        @task_group
        def outer(x: Any) -> Any:
            return inner.expand(y=below(x))

        keep.override(task_id="all", trigger_rule="all_done")(outer.expand(x=[0, 1, 5]))
    return dag


@pytest.mark.parametrize(
    ("make", "conf"),
    [
        (lambda: example("mapping"), {}),
        (lambda: example("mapping"), {"stations": []}),
        (lambda: example("setup_teardown"), {}),
        (lambda: example("setup_teardown"), {"breaks": True}),
        (deep, {}),
    ],
    ids=["mapping", "nothing to map", "setup and teardown", "teardown after a failure", "maps in maps"],
)
def test_a_run_ends_as_it_does_in_one_process(
    mill: Mill, gateway: DatabaseGateway, make: Callable[[], DAG], conf: dict[str, Any]
) -> None:
    dag = make()
    mill.add(dag)
    mill.trigger(dag.dag_id, conf=conf)
    run_all(mill, gateway, dag)
    assert as_run(mill, dag) == as_tested(dag, conf)


def wide() -> DAG:
    """Everything that can be mapped over what single tasks return."""
    with DAG("wide") as dag:

        @task
        def give(value: Any) -> Any:
            return value

        @task
        def take(x: Any = 0, y: Any = 0, z: Any = 0, again: Any = 0) -> Any:
            return x, y, z, again

        def given(name: str, value: Any) -> Any:
            return give.override(task_id=name)(value)

        def shouted(text: str) -> str:
            return text.upper()

        three, pair = given("three", ["a", "b", "{c}"]), given("pair", {"x": 1, 2: None})
        few, none = given("few", (4.5, {"y": {7}})), given("none", [])
        take.override(task_id="one").expand(x=three)
        take.override(task_id="product").expand(x=three.map(shouted), y=[1, 2], z=pair, again=three)
        take.override(task_id="zipped").expand(x=three.zip(pair, few), y=three.zip(few, fillvalue="-"))
        take.override(task_id="joined").expand(x=none.concat(few, [0], pair, three.map(shouted)))
        take.override(task_id="rows").expand_kwargs(given("arguments", [{"x": 1}, {"y": 2, "z": None}]))

        @task_group
        def outer(x: Any) -> None:
            inside = give(x)
            take.override(task_id="deep").expand(y=inside, z=few)

        outer.expand(x=given("lists", [["p", "q"], ["r"]]))
    return dag


def test_a_mapped_task_has_all_that_it_takes_of_single_values_without_a_question(
    mill: Mill, gateway: DatabaseGateway
) -> None:
    dag = wide()
    mill.add(dag)
    mill.trigger("wide")
    assert run_all(mill, gateway, dag) == []
    assert mill.run_state("wide") is RunState.SUCCESS
    assert as_run(mill, dag) == as_tested(dag, {})
