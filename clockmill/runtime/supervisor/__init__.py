"""The supervisor: a process that starts attempts, watches them, ends them and writes their logs.

It outlives the scheduler that started it, so that a new one can take over what runs and what has ended meanwhile.
"""
