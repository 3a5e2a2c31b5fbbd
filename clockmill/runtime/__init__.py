"""What runs tasks: supervisor, zygote and task process, and ``dag.test()`` without any of them.

It sees the database only through the gateway that its supervisor is given.
"""
