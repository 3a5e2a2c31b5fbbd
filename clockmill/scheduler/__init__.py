"""The scheduler: a service and its steps. State decides, storage writes; this package brings them together."""
