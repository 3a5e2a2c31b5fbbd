"""Templates: fields and files are filled in with what the run knows, in the task's own process."""

from datetime import datetime

from clockmill import DAG, task
from clockmill.operators.bash import BashOperator

with DAG(
    "templating",
    description="Fills in dates, parameters and macros.",
    schedule="@daily",
    start_date=datetime(2024, 1, 1),  # noqa: DTZ001
    catchup=False,
    params={"who": "world"},
    user_defined_macros={"shout": str.upper},
    is_paused_upon_creation=True,
    tags=["example"],
):
    greet = BashOperator(
        task_id="greet",
        bash_command="echo hello {{ params.who | upper }}, the day after {{ ds }} is {{ macros.ds_add(ds, 1) }}",
    )
    # A value that ends like a template file is the name of one, next to this file.
    from_file = BashOperator(task_id="from_file", bash_command="templating.sh", env={"WHO": "{{ shout(params.who) }}"})

    @task
    def measure(line, length):
        print(f"{line!r} has {length} characters")

    from_file >> measure(greet.output, "{{ ti.xcom_pull(task_ids='greet') | length }}")
