"""A reviewer's decision as a Prefect flow: ``python -m flows.promote VERSION --reason "..."``."""

import argparse
import sys
from pathlib import Path
from typing import Any

from flows import environment  # noqa: F401 - before Prefect, which reads its settings once

from prefect import State, flow  # isort: skip
from prefect.states import Completed  # isort: skip

from flows.quiet import in_words, plain_words, speak_plainly
from sadcl.errors import SadclError
from sadcl.progress import say


@flow(name="promote")
def promote(version: str, reason: str, first: bool = False, root: Path = Path(".")) -> State[Any]:
    """Make a registered version the champion; every check is the registry's.

    Args:
        version: of the registered model.
        reason: why; it stands in the audit.
        first: there is no champion yet, and this is said on purpose.
        root: the project's folder.
    """
    speak_plainly()
    from sadcl.registry.promote import promote as move

    return Completed(message=move(version, reason, first=first, root=Path(root)).words)


def main() -> None:
    """Parse, run, and end with 0, or with 2 and a sentence."""
    parser = argparse.ArgumentParser(prog="python -m flows.promote", description="Make a version the champion.")
    parser.add_argument("version")
    parser.add_argument("--reason", required=True, help="why; it stands in the audit")
    parser.add_argument("--first", action="store_true", help="there is no champion yet")
    given = parser.parse_args()
    try:
        with plain_words():
            state = promote(given.version, given.reason, given.first, return_state=True)
    except SadclError as error:
        print(f"promote: {error}", file=sys.stderr)
        sys.exit(2)
    say(f"promote: {(state.name or '').lower()}: {in_words(state)}")
    sys.exit(0 if state.is_completed() else 2)


if __name__ == "__main__":
    main()
