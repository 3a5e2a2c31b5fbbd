"""Read by Alembic before each command; :mod:`clockmill.migrations.runner` hands the connection over.

The transaction belongs to the runner, so that a step that fails leaves nothing behind. The tables of this program are
not shown to Alembic: the steps are frozen and must mean the same whatever becomes of the tables.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
