"""The one example that is not paused: it succeeds every minute, so that a first look shows life."""

from clockmill import DAG, task

with DAG(
    "heartbeat",
    description="Succeeds every minute.",
    schedule="* * * * *",
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["example"],
):

    @task
    def beat(ts, run_id):
        print(f"{run_id} beats for {ts}")
        return ts

    beat()
