"""YAML from untrusted files, with limits on size and depth; and checks of paths from untrusted names."""

from pathlib import Path
from typing import Any, ClassVar

from yaml import AliasEvent, YAMLError

from sadcl.errors import SadclError
from sadcl.params import bounded_yaml


class _NoAliasLoader(bounded_yaml.NestingLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(AliasEvent):
            raise YAMLError("it has aliases (*name)")
        return super().compose_node(parent, index)


class _TextLoader(_NoAliasLoader):
    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc,unused-ignore]


def parse_yaml(content: str, path: Path, fix: str, as_text: bool = False) -> Any:
    """Parse YAML; aliases are rejected, because a few nested ones expand to any amount of memory.

    Args:
        content: text of the file.
        path: the file, for errors.
        fix: what to do about invalid YAML, for errors.
        as_text: keep plain scalars as text: a class named ``no`` or ``1e3`` keeps its name.

    Raises:
        SadclError: the text is not YAML, too long or too deep.
    """
    if len(content) > bounded_yaml.LONGEST:
        raise SadclError(f"The file has more than {bounded_yaml.LONGEST:,} characters", where=path, fix=fix)
    try:
        return (_TextLoader if as_text else _NoAliasLoader)(content).get_single_data()
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
