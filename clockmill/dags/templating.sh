set -eu
echo "run {{ run_id }} of {{ dag.dag_id }}"
echo "hello $WHO on {{ ds }}"
