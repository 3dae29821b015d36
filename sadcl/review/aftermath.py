"""What follows a decision: files, audit and aliases are brought in line with the registry."""

from pathlib import Path

from sadcl.errors import SadclError


def aftermath(root: Path) -> str:
    """Repair the project's files from the registry.

    A failure here takes nothing back: the decision is made, and the same repair can be run again.

    Args:
        root: the project's folder.

    Returns:
        What came of it, as a sentence.
    """
    from sadcl.registry.sync import sync

    try:
        repaired = sync(root)
    except SadclError as error:
        return f"The decision stands, but the project's files could not be brought in line. {error}"
    return "The project's files were brought in line." if repaired else "The project's files are in line."
