"""XComs: small values that tasks hand on. They become visible when the try that made them succeeds."""

from datetime import date
from decimal import Decimal

from clockmill import DAG, task

with DAG(
    "xcoms",
    description="Hands values from task to task.",
    schedule=None,
    is_paused_upon_creation=True,
    tags=["example"],
):

    @task
    def invoice():
        # Dates, decimals, sets and tuples come back as what they were.
        return {"due": date(2024, 3, 1), "total": Decimal("99.90"), "lines": (1, 2, 3)}

    @task(multiple_outputs=True)
    def split(bill):
        return {"net": bill["total"] / Decimal("1.11"), "days": {bill["due"].day, 15}}

    @task
    def remember(net, ti):
        ti.xcom_push(key="rounded", value=round(net, 2))

    @task
    def tell(bill, days, ti):
        rounded = ti.xcom_pull(task_ids="remember", key="rounded")
        print(f"{rounded} net of {bill['total']}, due {bill['due']}, reminders on {sorted(days)}")
        return rounded

    bill = invoice()
    parts = split(bill)
    remember(parts["net"]) >> tell(bill, parts["days"])
