"""Prefect's settings for this project: where it keeps its files, and what it logs."""

import os

from sadcl import layout

DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
}


def prepare() -> None:
    """Set what neither a person nor a profile nor a worker has set; Prefect reads it once, while it is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if "PREFECT_HOME" not in os.environ:
        home = layout.PREFECT_HOME.resolve()
        os.environ["PREFECT_HOME"] = str(home)
        home.mkdir(parents=True, exist_ok=True)  # Prefect complains while it is imported where this is missing
