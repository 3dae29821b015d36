"""Markdown from a template, in which other people's text is shown as it is, and a page made of it."""

import re
from collections.abc import Sequence
from typing import Any

_MARKS = re.compile(r"[\\`*_{}\[\]<>|~&$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""What begins something in Markdown, and in the dialects that make links of bare addresses."""
_AT_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+#=]))")
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, those that turn the direction of a line, and halves of characters."""


class Markdown(str):
    """Text that is Markdown already; what is made of it, joined to other text, is plain text again."""

    __slots__ = ()


def escaped(value: object) -> str:
    """A value as one line of Markdown that shows it as it is: in a paragraph, a list or a table."""
    if isinstance(value, Markdown):
        return value
    line = " ".join(_NO_TEXT.sub(" ", str(value)).split())
    return _AT_START.sub(r"\1\\", _MARKS.sub(r"\\\g<0>", line))


def code(value: str) -> str:
    """A digest or the like in the letters of code; anything else as text, which could not be escaped there."""
    return Markdown(f"`{value}`") if value.isalnum() else value


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Markdown:
    """A table, without the columns in which no row has anything."""
    kept = [j for j in range(len(header)) if any(row[j] for row in rows)]
    lines = [[escaped(row[j]) for j in kept] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(kept))
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines) if kept else "")


def render(template: str, facts: dict[str, Any]) -> str:
    """A template of this room; whatever it shows is escaped unless it is ``Markdown``."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("sadcl.registry.model_card"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=escaped,
    )
    text = made.get_template(template).render(facts)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def page(text: str, title: str) -> str:
    """The same as one page that opens offline; HTML in the text is shown, not obeyed."""
    from jinja2 import Environment, PackageLoader
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0"><table>\n')
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    shell = Environment(loader=PackageLoader("sadcl.registry.model_card"), autoescape=True).get_template("page.html")
    return shell.render(title=title, body=reader.render(text))
