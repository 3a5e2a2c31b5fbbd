"""The program ``clockmill``: the groups and verbs, each imported when it is used."""

from __future__ import annotations

from clockmill import probes
from clockmill.cli.base import Root

cli = Root(
    "clockmill",
    help="A fast scheduler for batch work written as Python DAG files.",
    epilog="Start with: clockmill standalone",
    lazy={
        "standalone": ("clockmill.cli.services:standalone", "Run everything in one process tree."),
        "scheduler": ("clockmill.cli.services:scheduler", "Run a scheduler alone."),
        "webserver": ("clockmill.cli.services:webserver", "Run the web server alone."),
        "dag-processor": ("clockmill.cli.services:dag_processor", "Run the parsing of DAG files alone."),
        "triggerer": ("clockmill.cli.triggerer:triggerer", "Run a triggerer alone."),
        "celery": ("clockmill.cli.celery:celery", "Run tasks on any machine, by a broker."),
        "health": ("clockmill.cli.health:health", "Show which services go round; exit 1 when one is missing."),
        "info": ("clockmill.cli.info:info", "Show what is installed and where everything is."),
        "version": ("clockmill.cli.info:version", "Print the version."),
        "db": ("clockmill.cli.db:db", "Look after the metadata database."),
        "dags": ("clockmill.cli.dags:dags", "Show, trigger and steer DAGs and their runs."),
        "runs": ("clockmill.cli.runs:runs", "Show, mark, run again and stop runs; list their callbacks and deadlines."),
        "tasks": ("clockmill.cli.tasks:tasks", "Show, test, clear and mark tasks, and read their logs."),
        "backfill": ("clockmill.cli.backfill:backfill", "Run a DAG for a stretch of the past, and steer that."),
        "xcoms": ("clockmill.cli.xcoms:xcoms", "Read what tasks passed on."),
        "config": ("clockmill.cli.config:config", "Show the settings."),
        "variables": ("clockmill.cli.variables:variables", "Look after variables."),
        "connections": ("clockmill.cli.connections:connections", "Look after connections."),
        "pools": ("clockmill.cli.pools:pools", "Look after pools."),
        "workers": ("clockmill.cli.workers:workers", "Look after workers."),
        "why": ("clockmill.cli.why:why", "Tell why a task has not run."),
    },
)


def main() -> None:
    """The console script."""
    probes.arm_from_environment()
    cli.main(prog_name="clockmill")
