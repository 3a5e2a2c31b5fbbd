"""The triggerer: one event loop that runs what thousands of deferred tasks wait for."""
