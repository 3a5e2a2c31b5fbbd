"""Branches: one way of two is followed, the other is skipped, and a gate may end the run early.

Trigger it with ``--conf '{"amount": 5000}'`` to see the other way.
"""

from clockmill import DAG, Label, Param, task
from clockmill.operators.empty import EmptyOperator

with DAG(
    "branching",
    description="Follows one way or the other, by a parameter.",
    schedule=None,
    params={"amount": Param(100, type="integer", minimum=0, description="What the order is worth.")},
    is_paused_upon_creation=True,
    tags=["example"],
):

    @task.branch
    def weigh(params):
        return "review" if params["amount"] >= 1000 else "accept"

    @task
    def review(params):
        print(f"A person looks at {params['amount']}")

    @task
    def accept(params):
        print(f"{params['amount']} is small enough")

    @task.short_circuit
    def is_worth_a_letter(params):
        return params["amount"] > 0

    @task
    def send_letter():
        print("The letter is on its way")

    # A join below a branch runs when no way failed and at least one was followed.
    join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
    choice = weigh()
    choice >> Label("large") >> review() >> join
    choice >> Label("small") >> accept() >> join
    join >> is_worth_a_letter() >> send_letter()
