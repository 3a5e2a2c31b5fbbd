"""The metadata database: its tables, and the verbs for what is in them.

A verb takes a connection first, never commits, and decides nothing: services own the transactions, ``state`` the rules.
"""
