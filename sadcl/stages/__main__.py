"""``python -m sadcl.stages NAME``: run one stage of the pipeline."""

import sys
from importlib import import_module

from sadcl.errors import SadclError


def main(name: str) -> None:
    """Prepare this process for torch, then import and run the stage."""
    try:
        from sadcl import processes
        from sadcl.stages import runner

        processes.before_torch()
        stage = import_module(f"sadcl.stages.{name}")
    except ModuleNotFoundError as error:  # a dvc from elsewhere runs stages with whatever Python comes first
        fix = "Activate the project's environment (`. .venv/bin/activate`), or run `make install`"
        print(SadclError(f"The package {error.name} is missing", where=sys.executable, fix=fix), file=sys.stderr)
        sys.exit(2)
    runner.run(name, stage.READS, stage.main)


if __name__ == "__main__":
    main(sys.argv[1])
