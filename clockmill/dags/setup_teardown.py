"""Setups and teardowns: what is made ready for some tasks is cleared away after them, also when they fail.

Trigger it with ``--conf '{"breaks": true}'`` to see the teardown run after a failure.
"""

from clockmill import DAG, Param, setup, task, teardown

with DAG(
    "setup_teardown",
    description="A cluster is made before the work, and deleted after it, whatever happened.",
    schedule=None,
    params={"breaks": Param(False, type="boolean", description="Whether the work fails.")},
    is_paused_upon_creation=True,
    tags=["example"],
):

    @setup
    def create_cluster():
        return "cluster-7"

    @teardown
    def delete_cluster(name):
        print(f"{name} is gone")

    @task
    def load(name):
        print(f"Loading on {name}")

    @task
    def compute(params):
        if params["breaks"]:
            raise ValueError("there is a bug in the query")

    @task
    def report():
        print("All went well")

    cluster = create_cluster()
    # What is made inside runs after the setup and before the teardown.
    with delete_cluster(cluster):
        work = load(cluster)
        done = compute()
        work >> done

    # The report waits for the work alone; a teardown that fails is no reason to call a good run bad.
    done >> report()
