"""Sensors: a file, a length of time and a question of your own, each waiting in another way.

None of them holds a slot while it waits: one looks again in a new process, and a trigger looks for the others.
"""

from datetime import timedelta
from pathlib import Path

from clockmill import DAG, PokeReturnValue, task
from clockmill.sensors.filesystem import FileSensor
from clockmill.sensors.time_delta import WaitSensor

DATA = Path(__file__).parent / "data"

with DAG(
    "sensors",
    description="Waits for a file, for a while, and for an answer.",
    schedule=None,
    is_paused_upon_creation=True,
    tags=["example"],
):
    file = FileSensor(task_id="wait_for_file", filepath=f"{DATA}/*.csv", timeout=timedelta(hours=6), deferrable=True)
    pause = WaitSensor(task_id="let_it_settle", time_to_wait=timedelta(seconds=0.5), deferrable=True)

    @task.sensor(mode="reschedule", poke_interval=0.5, timeout=timedelta(minutes=5), soft_fail=True)
    def wait_for_answer(ti):
        # What a sensor finds, it hands on: here, how often it had to look.
        return PokeReturnValue(is_done=ti.reschedules >= 1, xcom_value=ti.reschedules + 1)

    @task
    def load(looks):
        print(f"There after {looks} looks")

    file >> pause >> load(wait_for_answer())
