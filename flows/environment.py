"""Prefect's settings for this project: where it keeps its files, and what it logs."""

import os
import sys

from sadcl import extras, layout
from sadcl.errors import SadclError

DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
}


def prepare() -> None:
    """Set what neither a person nor a profile nor a worker has set; Prefect reads it once, while it is imported.

    Exits with status 2 where Prefect is not installed.
    """
    try:
        extras.require("prefect")
    except SadclError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if "PREFECT_HOME" not in os.environ:
        home = layout.PREFECT_HOME.resolve()
        os.environ["PREFECT_HOME"] = str(home)
        home.mkdir(parents=True, exist_ok=True)  # Prefect complains while it is imported where this is missing
