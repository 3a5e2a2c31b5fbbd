"""What may be done to runs and DAGs: trigger, clear, mark, stop, backfill, pause, delete, explain.

One implementation for web pages, command line and scheduler. It starts no process and wakes nobody: the caller does.
"""
