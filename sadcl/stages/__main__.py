"""``python -m sadcl.stages NAME``: run one stage of the pipeline."""

import sys
from importlib import import_module

from sadcl import extras


def main(name: str) -> None:
    """Prepare this process for many imports, for torch and for pyarrow, then import and run the stage."""
    try:
        from sadcl import processes
        from sadcl.stages import arrow, runner

        processes.collect_rarely()
        processes.before_torch()
        stage = import_module(f"sadcl.stages.{name}")
        arrow.start_without_pandas()
    except ModuleNotFoundError as error:  # a dvc from elsewhere runs stages with whatever Python comes first
        print(extras.explain(error), file=sys.stderr)
        sys.exit(2)
    runner.run(name, stage.READS, stage.main)


if __name__ == "__main__":
    main(sys.argv[1])
