"""Trigger a run of another DAG, wait for it without holding a slot, and go on with its id.

It triggers the example ``branching``, which has to be unpaused for its run to begin.
"""

from clockmill import DAG, task
from clockmill.operators.trigger_dagrun import TriggerDagRunOperator

with DAG(
    "triggering",
    description="Hands an order to another DAG and waits until it is dealt with.",
    schedule=None,
    is_paused_upon_creation=True,
    tags=["example"],
):

    @task
    def take_order():
        return 5000

    hand_over = TriggerDagRunOperator(
        task_id="hand_over",
        trigger_dag_id="branching",
        conf={"amount": take_order()},
        wait_for_completion=True,
        deferrable=True,
        poke_interval=5,
        fail_when_dag_is_paused=True,
    )

    @task
    def note(run_id):
        print(f"The order was dealt with by {run_id}")

    hand_over >> note(hand_over.output["trigger_run_id"])
