"""Sensors: tasks that wait until something is so, one module for each kind of thing."""
