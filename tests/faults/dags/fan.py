"""Sixty short tasks, ten of them in a narrow pool; and tasks that take as long as a test wants, which begin first."""

from ledger import work

from clockmill import DAG
from clockmill.operators.python import PythonOperator


def short(number: int) -> PythonOperator:
    return PythonOperator(
        task_id=f"t{number:02}",
        python_callable=work,
        op_kwargs={"seconds": 0.05},
        pool="narrow" if number % 6 == 0 else "default_pool",
    )


with DAG("fan", schedule=None):
    first = PythonOperator(task_id="first", python_callable=work)
    last = PythonOperator(task_id="last", python_callable=work)
    first >> [short(number) for number in range(60)] >> last

with DAG("long", schedule=None):
    for name in ("one", "two"):
        PythonOperator(task_id=name, python_callable=work, op_kwargs={"gate": True}, priority_weight=1000)

with DAG("chain", schedule=None):
    before = PythonOperator(task_id="before", python_callable=work, op_kwargs={"gate": True}, priority_weight=1000)
    after = PythonOperator(task_id="after", python_callable=work)
    before >> after

with DAG("reading", schedule=None):
    writer = PythonOperator(task_id="writer", python_callable=work)
    reader = PythonOperator(task_id="reader", python_callable=work, op_kwargs={"gate": True, "reads": "writer"})
    writer >> reader
