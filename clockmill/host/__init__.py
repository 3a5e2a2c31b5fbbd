"""What our processes ask of the Linux host that they share, and how they talk on it; knows no DAG, task or table."""
