"""The program ``clockmill``: the groups and verbs, each imported when it is used."""

from __future__ import annotations

from clockmill.cli.base import Root

cli = Root(
    "clockmill",
    help="A fast scheduler for batch work written as Python DAG files.",
    epilog="Start with: clockmill standalone",
    lazy={
        "info": ("clockmill.cli.info:info", "Show what is installed and where everything is."),
        "version": ("clockmill.cli.info:version", "Print the version."),
        "db": ("clockmill.cli.db:db", "Look after the metadata database."),
        "config": ("clockmill.cli.config:config", "Show the settings."),
    },
)


def main() -> None:
    """The console script."""
    cli.main(prog_name="clockmill")
