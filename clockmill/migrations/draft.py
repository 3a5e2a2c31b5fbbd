"""Draft the next step: ``python -m clockmill.migrations.draft add note to pool``.

Writes what differs between the newest step and the tables into a new file of ``versions/``, to be read and mended by
hand: CHECK constraints and data are not seen. Then add the revision to ``runner.REVISIONS``; the tests say whether the
steps make the same schema as the tables.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from clockmill.migrations import runner
from clockmill.storage.engine import Database
from clockmill.storage.tables import Instant, metadata

VERSIONS = Path(__file__).parent / "versions"

_TEMPLATE = '''"""{title}.

Revision ID: {revision}
Revises: {before}
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''


def draft(title: str, folder: Path = VERSIONS) -> Path:
    """Write the step that leads from the newest revision to the tables; returns its file."""
    with tempfile.TemporaryDirectory() as scratch:
        database = Database(f"sqlite:///{scratch}/scratch.db")
        runner.upgrade(database)
        up, down = database.read(_differences)
        database.close()
    revision = f"{int(runner.head()) + 1:04d}"
    path = folder / f"v{revision}_{re.sub('[^a-z0-9]+', '_', title.lower())}.py"
    text = _TEMPLATE.format(title=title.capitalize(), revision=revision, before=runner.head(), up=up, down=down)
    path.write_text(text)
    return path


def _differences(connection: Connection) -> tuple[str, str]:
    options = {"target_metadata": metadata, "include_object": _is_comparable, "render_item": _render_item}
    found = produce_migrations(MigrationContext.configure(connection, opts=options), metadata)
    sides = (found.upgrade_ops, found.downgrade_ops)
    up, down = (render_python_code(side, render_as_batch=True, render_item=_render_item) for side in sides if side)
    return up, down


def _is_comparable(_thing: object, name: str | None, *_: object) -> bool:
    # SQLite cannot say what an index over an expression is of.
    return name not in {"ix_task_instance_ready", "ix_task_instance_asking"}


def _render_item(kind: str, item: Any, _context: object) -> str | Literal[False]:
    return "sa.BigInteger()" if kind == "type" and isinstance(item, Instant) else False


if __name__ == "__main__":
    sys.stderr.write(f"{draft(' '.join(sys.argv[1:]) or 'change the schema')}\n")
