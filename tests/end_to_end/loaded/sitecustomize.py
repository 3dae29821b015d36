"""Record of a program's modules: Python imports this file at its start, if its folder is in ``PYTHONPATH``.

At the end of the program, their names are in a file of the folder that ``LOADED_MODULES`` names, called after the
program's last argument: the stage, or the sub-command.
"""

import atexit
import os
import sys
from pathlib import Path


def _write() -> None:
    folder = os.environ.get("LOADED_MODULES")
    if folder and Path(sys.argv[0]).name == "__main__.py":
        Path(folder, f"{Path(sys.argv[-1]).name}.txt").write_text("\n".join(sorted(sys.modules)))


atexit.register(_write)
