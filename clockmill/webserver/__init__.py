"""The web pages: a Flask application under waitress that reads stored values and asks ``clockmill.actions`` to act.

Nothing that a DAG author wrote is executed here: no file, template, XCom or docstring; it is shown as text.
"""
