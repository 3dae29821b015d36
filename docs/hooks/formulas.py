"""MkDocs hook: LaTeX becomes MathML while the site is built, so that no script renders formulas in the browser.

``$...$`` and ``$$...$$`` reach this hook as elements of the class ``arithmatex``. A ``\\tag{3}`` in a displayed formula
numbers it and makes it a target for links: ``#eq-3``.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
TAG = re.compile(r"\\tag\{(\w+)\}")


def on_page_content(content: str, **_: Any) -> str:
    """Replace every formula of a page."""
    return FORMULA.sub(_mathml, content)


def _mathml(match: re.Match[str]) -> str:
    latex = html.unescape(match[2]).strip()
    if match[1] == "span":
        return convert(latex)
    tag = TAG.search(latex)
    formula = convert(TAG.sub("", latex), display="block")
    if tag is None:
        return f'<div class="formula">{formula}</div>'
    return f'<div class="formula" id="eq-{tag[1]}">{formula}<span class="formula-number">({tag[1]})</span></div>'
