"""A classic three-step ETL: values go from task to task as XComs, each return value under the key ``return_value``."""

from datetime import datetime, timedelta

from clockmill import DAG
from clockmill.operators.python import PythonOperator


def extract_data():
    print("Extracting orders")
    return [
        {"order": 1, "amount": 120.5, "currency": "EUR"},
        {"order": 2, "amount": 80.0, "currency": "USD"},
        {"order": 3, "amount": 310.25, "currency": "EUR"},
    ]


def transform_data(ti):
    totals = {}
    for order in ti.xcom_pull(task_ids="extract"):
        totals[order["currency"]] = totals.get(order["currency"], 0.0) + order["amount"]
    return totals


def load_data(ti):
    for currency, total in sorted(ti.xcom_pull(task_ids="transform").items()):
        print(f"Loading {total:.2f} {currency}")


with DAG(
    "etl_pipeline",
    start_date=datetime(2024, 1, 1),  # noqa: DTZ001  (without a zone it is in the DAG's own, UTC unless it says so)
    schedule_interval=timedelta(days=1),
    catchup=False,
    is_paused_upon_creation=True,
    tags=["example"],
) as dag:
    extract = PythonOperator(task_id="extract", python_callable=extract_data)
    transform = PythonOperator(task_id="transform", python_callable=transform_data)
    load = PythonOperator(task_id="load", python_callable=load_data)

    extract >> transform >> load
