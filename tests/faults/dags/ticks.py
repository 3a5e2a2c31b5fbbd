"""Six ticks of the past, each a run of four tasks, one of which fails once."""

from datetime import UTC, datetime, timedelta

from ledger import work

from clockmill import DAG
from clockmill.operators.python import PythonOperator

with DAG(
    "ticks",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    end_date=datetime(2026, 1, 6, tzinfo=UTC),
    catchup=True,
    max_active_runs=2,
):
    start, left, end = (PythonOperator(task_id=name, python_callable=work) for name in ("start", "left", "end"))
    flaky = PythonOperator(
        task_id="flaky", python_callable=work, op_kwargs={"failures": 1}, retries=1, retry_delay=timedelta(0)
    )
    start >> [left, flaky] >> end
