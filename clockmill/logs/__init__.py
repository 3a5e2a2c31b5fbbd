"""The log of each try: where it lies, how it is written and read. Knows files, neither the database nor a DAG."""
