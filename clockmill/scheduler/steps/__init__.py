"""The duties of a scheduler, one a module, each with a ``run_once``."""
