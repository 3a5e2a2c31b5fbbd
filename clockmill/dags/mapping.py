"""Dynamic task mapping: as many task instances as there is to do, which only the run finds out.

Trigger it with ``--conf '{"stations": ["aa", "bb", "cc", "dd"]}'`` to see more of them.
"""

from clockmill import DAG, Param, SkipTask, task, task_group
from clockmill.operators.bash import BashOperator

with DAG(
    "mapping",
    description="A task for each element of a list that another task returns.",
    schedule=None,
    params={"stations": Param(["north", "south", "east"], type="array", description="Where to look.")},
    is_paused_upon_creation=True,
    tags=["example"],
):

    @task
    def list_stations(params):
        return params["stations"]

    @task(map_index_template="{{ station }}, day {{ day }}", max_active_tis_per_dagrun=4)
    def measure(station, day, ti):
        from clockmill import get_current_context

        get_current_context()["station"], get_current_context()["day"] = station, day
        return {"station": station, "value": len(station) * 10 + day}

    @task
    def summarise(readings):
        # The readings are looked up page by page; a list of all of them would be list(readings).
        return {"number": len(readings), "highest": max(reading["value"] for reading in readings)}

    def only_large(reading):
        if reading["value"] < 50:
            raise SkipTask(f"{reading['value']} is nothing to write home about")
        return reading["station"]

    stations = list_stations()
    readings = measure.expand(station=stations, day=[1, 2])
    summarise(readings)

    # The function runs in the process of each instance; the operator is made there, too.
    BashOperator.partial(task_id="report").expand(
        env=readings.map(only_large).map(lambda name: {"STATION": name}), bash_command=['echo "Look at $STATION"']
    )

    @task_group
    def calibrate(station, offset):
        @task
        def list_sensors(station):
            return [f"{station}-{letter}" for letter in "abc"[: len(station) - 3]]

        @task
        def adjust(sensor, offset):
            return f"{sensor}{offset:+}"

        @task
        def sign_off(adjusted):
            return ", ".join(adjusted)

        # A mapped task in a mapped group: its sensors are those of its own station.
        return sign_off(adjust.partial(offset=offset).expand(sensor=list_sensors(station)))

    @task
    def publish(lines):
        for line in lines:
            print(line)
        return list(lines)

    publish(calibrate.partial(offset=2).expand(station=stations))
