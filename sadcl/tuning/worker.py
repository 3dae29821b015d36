"""Worker process of a search: ``python -m sadcl.tuning.worker STUDY NUMBER``, or ``joined`` for the number."""

import sys
from pathlib import Path

from sadcl import params, processes
from sadcl.errors import SadclError
from sadcl.progress import prepare_output
from sadcl.tuning import search, storage


def main(study: str, number: str) -> None:
    """Run trials of the study until none is left to start."""
    processes.end_with_parents()
    settings = params.load()
    worker = None if number == "joined" else int(number)
    shared = storage.open_study(study, settings, worker=worker, create=False)
    search.search(shared, settings, search.training(), Path())


if __name__ == "__main__":
    prepare_output()
    try:
        main(sys.argv[1], sys.argv[2])
    except SadclError as error:
        print(f"worker {sys.argv[2]}: {error}", file=sys.stderr)
        sys.exit(2)
