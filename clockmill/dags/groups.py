"""Task groups: tasks that belong together, nested, and wired as if each group were one task."""

from clockmill import DAG, TaskGroup, chain, cross_downstream, task
from clockmill.operators.bash import BashOperator
from clockmill.operators.empty import EmptyOperator

with DAG(
    "groups",
    description="Groups of tasks, one within another.",
    schedule="0 6 * * 1-5",
    catchup=False,
    is_paused_upon_creation=True,
    tags=["example"],
):

    @task
    def publish():
        print("Published")

    start = EmptyOperator(task_id="start")

    with TaskGroup("prepare", tooltip="What every region needs") as prepare:
        fetch = BashOperator(task_id="fetch", bash_command="echo fetched")
        check = BashOperator(task_id="check", bash_command="echo checked")
        fetch >> check

    with TaskGroup("regions") as regions:
        for name in ("north", "south"):
            with TaskGroup(name):
                clean = BashOperator(task_id="clean", bash_command=f"echo cleaned {name}")
                counts = [
                    BashOperator(task_id=f"count_{what}", bash_command=f"echo {what} of {name}")
                    for what in ("rows", "errors")
                ]
                cross_downstream([clean], counts)

    chain(start, prepare, regions, publish())
