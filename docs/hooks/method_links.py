"""MkDocs hook: "method, section 3.6", as docstrings cite the method, becomes a link to that section."""

import re
from typing import Any

from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

METHOD = "explanation/method.md"
CITATION = re.compile(r"(?:the )?method,? section (\d)(?:\.(\d))?(?![^<]*</(?:a|code|h\d)>)")


def on_page_content(content: str, page: Page, files: Files, **_: Any) -> str:
    """Link every citation on a page other than the method's own."""
    method = files.get_file_from_path(METHOD)
    if method is None or page.file == method:
        return content
    url = method.url_relative_to(page.file)

    def link(match: re.Match[str]) -> str:
        section = "-".join(number for number in match.groups() if number)
        return f'<a href="{url}#section-{section}">{match[0]}</a>'

    return CITATION.sub(link, content)
