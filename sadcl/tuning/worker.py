"""Worker process of a search: ``python -m sadcl.tuning.worker NUMBER TRIALS``."""

import sys
from pathlib import Path

from sadcl import params, processes
from sadcl.errors import SadclError
from sadcl.progress import prepare_output
from sadcl.tuning import storage, study


def main(number: int, trials: int) -> None:
    """Run trials of the shared study until it has ``trials`` of them."""
    processes.end_with_parents()
    settings = params.load()
    shared = storage.open_study(study.study_name(settings), settings, worker=number)
    study.search(shared, settings, trials, study.training(), Path())


if __name__ == "__main__":
    prepare_output()
    try:
        main(int(sys.argv[1]), int(sys.argv[2]))
    except SadclError as error:
        print(f"worker {sys.argv[1]}: {error}", file=sys.stderr)
        sys.exit(2)
