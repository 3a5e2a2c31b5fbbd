"""The program ``clockmill``, one module for each group of commands.

A command reads its arguments, calls a verb of another package and shows the answer. Only ``wiring`` builds services.
"""
