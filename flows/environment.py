"""Where Prefect keeps its things, and how loud it is. Imported before Prefect, which reads this once.

Whatever a person, a profile or a worker has set already stays.
"""

import os
from pathlib import Path

HOME = Path(".sadcl/prefect").resolve()

DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
}

for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
if "PREFECT_HOME" not in os.environ:
    os.environ["PREFECT_HOME"] = str(HOME)
    HOME.mkdir(parents=True, exist_ok=True)  # Prefect complains while it is imported where this is not there
