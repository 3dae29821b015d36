"""YAML from untrusted files, with limits on size and depth; and checks of paths from untrusted names."""

from pathlib import Path
from typing import Any

from sadcl.errors import SadclError

MAX_CHARACTERS = 200_000
"""Most characters of YAML: the parser is slow, and class lists are shorter."""
MAX_DEPTH = 50
"""Most levels of YAML: the parser's time grows with their square."""


def parse_yaml(content: str, path: Path, fix: str) -> Any:
    """Parse YAML; aliases are rejected, because a few nested ones expand to any amount of memory.

    Args:
        content: text of the file.
        path: the file, for errors.
        fix: what to do about invalid YAML, for errors.

    Raises:
        SadclError: the text is not YAML, too long or too deep.
    """
    from yaml import AliasEvent, SafeLoader, YAMLError

    class LimitedLoader(SafeLoader):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(AliasEvent):
                raise YAMLError("it has aliases (*name)")
            if self.depth == MAX_DEPTH:
                raise YAMLError(f"it is nested more than {MAX_DEPTH} levels deep")
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    if len(content) > MAX_CHARACTERS:
        raise SadclError(f"The file has more than {MAX_CHARACTERS:,} characters", where=path, fix=fix)
    try:
        loader = LimitedLoader(content)
        return loader.get_single_data()
    except (YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SadclError(f"The file is not YAML: {reason}", where=path, fix=fix) from None


def exists(path: Path) -> bool:
    """Whether a file or folder exists; false for names that the file system rejects."""
    try:
        return path.exists()
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether a regular file exists; false for names that the file system rejects."""
    try:
        return path.is_file()
    except OSError:
        return False
