"""Where people who know Airflow find the options that have another name or place here."""

from __future__ import annotations

_DATABASE = "That is url in [database]."
_REMOTE = "That is remote in [logs]."

_OPTIONS = {
    "celery.result_backend": "None is needed: how tasks ended stands in the database.",
    "celery.worker_concurrency": "That is slots in [executor.celery].",
    "core.fernet_key": "The key is in HOME/keys/fernet.key.",
    "core.sql_alchemy_conn": _DATABASE,
    "database.sql_alchemy_conn": _DATABASE,
    "logging.base_log_folder": "Logs are in HOME/logs.",
    "logging.remote_base_log_folder": _REMOTE,
    "logging.remote_logging": _REMOTE,
    "scheduler.dag_dir_list_interval": "That is scan_interval_seconds in [dags].",
}


def of_option(section: str, name: str) -> str:
    """Where the meaning of an option is that is not here, with a leading blank; an empty string when nobody knows."""
    told = _OPTIONS.get(f"{section}.{name}")
    return f" {told}" if told else ""
