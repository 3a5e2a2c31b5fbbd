"""What Clockmill takes, measured on the real programs: ``python -m benchmarks --help``."""
