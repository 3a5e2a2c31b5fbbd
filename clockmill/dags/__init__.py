"""Example DAGs, shown until ``[core] load_examples`` is turned off."""
