"""How workloads reach supervisors: the protocol, executors by name, and the local one. Knows no DAG and no table."""
