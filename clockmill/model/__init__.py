"""What a DAG file is made of: DAGs, operators, groups, parameters, and the edges between them.

Nothing here reads a database or runs a task; importing it loads no third-party package.
"""
