"""Markdown from a template, with foreign text escaped, and a page rendered from it."""

import re
from collections.abc import Sequence
from typing import Any

_MARKS = re.compile(r"[\\`*_{}\[\]<>|~&$@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""Characters with a meaning in Markdown, and in the dialects that turn bare addresses into links."""
_AT_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+#=]))")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, marks that change the direction of text, and halves of surrogate pairs."""


class Markdown(str):
    """Text that is Markdown already; a string formatted or joined from it is plain text again, and gets escaped."""

    __slots__ = ()


def escaped(value: object) -> str:
    """Escape a value into one line of Markdown, for a paragraph, a list or a table."""
    if isinstance(value, Markdown):
        return value
    line = " ".join(_CONTROL.sub(" ", str(value)).split())
    return _AT_START.sub(r"\1\\", _MARKS.sub(r"\\\g<0>", line))


def code(value: str) -> str:
    """Format a digest as code; text with other characters stays text, since code can't be escaped."""
    return Markdown(f"`{value}`") if value.isalnum() else value


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Markdown:
    """Table in Markdown, without its empty columns."""
    columns = [j for j in range(len(header)) if any(row[j] for row in rows)]
    lines = [[escaped(row[j]) for j in columns] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(columns))
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines) if columns else "")


def render(template: str, facts: dict[str, Any]) -> str:
    """Render a template of this package; every value is escaped unless it is ``Markdown``.

    Raises:
        ValueError: a value is missing.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError

    environment = Environment(
        loader=PackageLoader("sadcl.registry.model_card"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=escaped,
    )
    try:
        text = environment.get_template(template).render(facts)
    except UndefinedError as error:
        raise ValueError(str(error)) from error
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def page(text: str, title: str) -> str:
    """Render Markdown as one HTML page that needs no network; HTML in the text is shown as text."""
    from jinja2 import Environment, PackageLoader
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    template = Environment(loader=PackageLoader("sadcl.registry.model_card"), autoescape=True).get_template("page.html")
    return template.render(title=title, body=parser.render(text))
