"""Measurements of Clockmill, side by side with the limits of the machine: ``python -m benchmarks NAME``."""
