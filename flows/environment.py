"""Prefect's settings for a project: folder of its files, start-up time and log level."""

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
    """Set Prefect's variables that are not set yet; call it before Prefect is imported, which reads them.

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
        home.mkdir(parents=True, exist_ok=True)  # Prefect warns at import if it is missing
