"""YAML as a value, with a sentence for each way in which it can be bad."""

from pathlib import Path
from typing import Any

from sadcl.errors import SadclError

MOST_YAML = 200_000
"""Bytes of YAML; the reader is slow, and class lists are shorter."""
DEEPEST = 50
"""Levels of YAML; the reader's time grows with their square."""


def yaml(written: str, path: Path, fix: str) -> Any:
    """YAML as a value; references are refused, for a few lines of them can stand for any amount of memory.

    Raises:
        SadclError: it is no YAML, or too long.
    """
    from yaml import AliasEvent, SafeLoader, YAMLError

    class Plain(SafeLoader):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(AliasEvent):
                raise YAMLError("it has references (*name)")
            if self.depth == DEEPEST:
                raise YAMLError(f"it is nested more than {DEEPEST} deep")
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    if len(written) > MOST_YAML:
        raise SadclError(f"The file has more than {MOST_YAML:,} letters", where=path, fix=fix)
    try:
        loader = Plain(written)
        return loader.get_single_data()
    except (YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SadclError(f"The file is not YAML: {reason}", where=path, fix=fix) from None


def there(path: Path) -> bool:
    """Whether a file or folder is there; a name that no disk can hold is not."""
    try:
        return path.exists()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether a file, and no folder, is there; a name that no disk can hold is not."""
    try:
        return path.is_file()
    except OSError:
        return False
