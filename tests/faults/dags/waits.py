"""Tasks that wait for the gate, without a slot."""

import asyncio
import os
from collections.abc import AsyncIterator

from ledger import LEDGER, note, work

from clockmill import DAG, BaseOperator, get_current_context
from clockmill.triggers import BaseTrigger, TriggerEvent


class Gate(BaseTrigger):
    """Looks whether the gate is open."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        while not os.path.exists(f"{os.environ[LEDGER]}.gate"):
            await asyncio.sleep(0.2)
        yield TriggerEvent("open")


class WaitAtTheGate(BaseOperator):
    """Waits, then works."""

    def execute(self, context: object) -> None:
        instance = get_current_context()["ti"]
        note("START", f"{instance.dag_id}/{instance.run_id}/{instance.task_id}")
        self.defer(trigger=Gate(), method_name="go_on")

    def go_on(self, context: object, event: str) -> str:
        assert event == "open"
        return work()


for name, tasks in (("many", 200), ("few", 10)):
    with DAG(name, schedule=None, max_active_tasks=100):
        for number in range(tasks):
            WaitAtTheGate(task_id=f"w{number:03}")
