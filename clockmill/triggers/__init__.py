"""What deferred tasks wait for: small asynchronous programs that the triggerer runs, many at a time."""
