"""Data Docs: Great Expectations' pages, rewritten to open offline and to be reproducible."""

import html
import re
import shutil
from pathlib import Path
from typing import Any

SITE = "docs"
ASSETS = Path(__file__).parent / "docs_assets"
STYLES = ("bootstrap.min.css", "bootstrap-table.min.css", "offline.css")
SCRIPTS = (
    "jquery.min.js",
    "bootstrap.bundle.min.js",
    "bootstrap-table.min.js",
)

_OUTSIDE = re.compile(
    r"""<link[^>]*href="https?://[^>]*>|<script[^>]*src="https?://[^>]*>\s*</script>|<img[^>]*src="https?://[^>]*>"""
    r"""|<link rel="shortcut icon"[^>]*>"""
)
_NEWSLETTER = re.compile(r"""<a[^>]*href="https://greatexpectations\.io/newsletter[^>]*>.*?</a>""", re.DOTALL)
_PICTURE = re.compile(r"url\('https?://[^)]*\)")
_RANDOM = re.compile(r"(collapse-body-)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CLOCK = re.compile(r"(?<=>)\s*20\d{6}T\d{6}\.\d{6}Z\s*(?=<)|(?: / )?2000-06-1\dT[\d:]{8}Z(?=<)")


def add_site(context: Any, folder: Path) -> None:
    """Configure a context of Great Expectations to build its pages under ``folder``."""
    context.add_data_docs_site(
        SITE,
        {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
        },
    )


def finish(folder: Path, rules: list[dict[str, Any]]) -> None:
    """Replace external styles and scripts by local files, and write a start page with the rules as sentences.

    Args:
        folder: of the site.
        rules: entries of reports/validation.json.
    """
    static = folder / "static"
    shutil.rmtree(static)  # images and fonts of pages that this site does not have
    static.mkdir()
    for name in (*STYLES, *SCRIPTS):
        shutil.copyfile(ASSETS / name, static / name)
    (folder / "index.html").write_text(_index(folder, rules), encoding="utf-8")
    for page in folder.rglob("*.html"):
        up = "../" * (len(page.relative_to(folder).parts) - 1)
        text = _offline(page.read_text(encoding="utf-8"), f"{up}static/")
        page.write_text(_repeatable(text), encoding="utf-8")


def _offline(page: str, static: str) -> str:
    """Page with local styles and scripts; ``static`` is the relative address of their folder."""
    page = _PICTURE.sub("none", _NEWSLETTER.sub("", _OUTSIDE.sub("", page)))
    # half of the dark style is external, and the other half alone is hard to read
    page = page.replace("@media (prefers-color-scheme: dark)", "@media not all")
    styles = "".join(f'<link rel="stylesheet" href="{static}{name}">\n' for name in STYLES[:-1])
    scripts = "".join(f'<script src="{static}{name}"></script>\n' for name in SCRIPTS)
    last = f'<link rel="stylesheet" href="{static}{STYLES[-1]}">\n'
    page = page.replace("<head>", f'<head>\n<meta name="viewport" content="width=device-width">\n{styles}{scripts}', 1)
    return page.replace("</head>", last + "</head>", 1)


def _repeatable(page: str) -> str:
    """Remove times and random names, so that equal data gives equal pages."""
    names: dict[str, str] = {}
    page = _RANDOM.sub(lambda match: names.setdefault(match[0], f"{match[1]}{len(names)}"), page)
    return _CLOCK.sub("", page)


def _index(folder: Path, rules: list[dict[str, Any]]) -> str:
    """Start page, in place of Great Expectations' list of runs, which needs scripts that the site lacks."""
    mark = {"passed": ("text-success", "\u2713"), "failed": ("text-danger", "\u2717"), "warning": ("text-warning", "!")}
    rows = []
    for rule in rules:
        colour, sign = mark.get(rule["status"], ("text-muted", "\u2013"))
        sentence = html.escape(rule["sentence"])
        rows.append(
            f'<tr><td class="{colour}"><b>{sign}</b> {html.escape(rule["status"])}</td><td>{sentence}</td></tr>'
        )
    pages = sorted(path.relative_to(folder).as_posix() for path in (folder / "validations").rglob("*.html"))
    links = "".join(f'<li><a href="{html.escape(p)}">{html.escape(p.split("/")[1])}</a></li>' for p in pages)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Data Docs</title></head>'
        '<body class="container py-4"><h1 class="h3">Validation of the data</h1>'
        f'<table class="table rules"><tbody>{"".join(rows)}</tbody></table>'
        f'<h2 class="h5">All expectations with the rows that break them</h2><ul>{links}</ul></body></html>\n'
    )
