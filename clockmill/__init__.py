"""Clockmill: a scheduler for batch work written as Python DAG files."""
