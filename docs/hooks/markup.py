"""Small pieces of Markdown that the generated pages share."""

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; pipes and line breaks inside cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def code(value: object) -> str:
    """Inline code."""
    return f"`{value}`"


def sentence(text: str) -> str:
    """The text on one line, with a capital letter and a full stop."""
    flat = " ".join(text.split())
    return flat if not flat or flat[-1] in ".?!" else flat + "."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
