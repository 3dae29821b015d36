"""Great Expectations' Data Docs, made to open without the internet."""

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
_LETTER = re.compile(r"""<a[^>]*href="https://greatexpectations\.io/newsletter[^>]*>.*?</a>""", re.DOTALL)
_PICTURE = re.compile(r"url\('https?://[^)]*\)")
_RANDOM = re.compile(r"(collapse-body-)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CLOCK = re.compile(r"(?<=>)\s*20\d{6}T\d{6}\.\d{6}Z\s*(?=<)|(?: / )?2000-06-1\dT[\d:]{8}Z(?=<)")


def add_site(context: Any, folder: Path) -> None:
    """Let ``context`` build its pages under ``folder``."""
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
    """Replace what the pages fetch from elsewhere by files beside them; begin with our rules in words.

    Args:
        folder: the site.
        rules: as reports/validation.json has them.
    """
    ours = folder / "static"
    shutil.rmtree(ours)  # pictures and fonts of pages that are not made here
    ours.mkdir()
    for name in (*STYLES, *SCRIPTS):
        shutil.copyfile(ASSETS / name, ours / name)
    (folder / "index.html").write_text(_index(folder, rules), encoding="utf-8")
    for page in folder.rglob("*.html"):
        up = "../" * (len(page.relative_to(folder).parts) - 1)
        text = _offline(page.read_text(encoding="utf-8"), f"{up}static/")
        page.write_text(_repeatable(text), encoding="utf-8")


def _offline(page: str, beside: str) -> str:
    page = _PICTURE.sub("none", _LETTER.sub("", _OUTSIDE.sub("", page)))
    # half of its dark style comes from elsewhere, and the other half alone is hard to read
    page = page.replace("@media (prefers-color-scheme: dark)", "@media not all")
    styles = "".join(f'<link rel="stylesheet" href="{beside}{name}">\n' for name in STYLES[:-1])
    scripts = "".join(f'<script src="{beside}{name}"></script>\n' for name in SCRIPTS)
    last = f'<link rel="stylesheet" href="{beside}{STYLES[-1]}">\n'
    page = page.replace("<head>", f'<head>\n<meta name="viewport" content="width=device-width">\n{styles}{scripts}', 1)
    return page.replace("</head>", last + "</head>", 1)


def _repeatable(page: str) -> str:
    """Take the clock and random names out: the same data gives the same pages."""
    names: dict[str, str] = {}
    page = _RANDOM.sub(lambda found: names.setdefault(found[0], f"{found[1]}{len(names)}"), page)
    return _CLOCK.sub("", page)


def _index(folder: Path, rules: list[dict[str, Any]]) -> str:
    """The first page, in place of GE's, whose list of runs needs more script than it is worth."""
    mark = {"passed": ("text-success", "\u2713"), "failed": ("text-danger", "\u2717")}
    rows = []
    for rule in rules:
        colour, sign = mark.get(rule["status"], ("text-muted", "\u2013"))
        words = html.escape(rule["sentence"])
        rows.append(f'<tr><td class="{colour}"><b>{sign}</b> {html.escape(rule["status"])}</td><td>{words}</td></tr>')
    pages = sorted(path.relative_to(folder).as_posix() for path in (folder / "validations").rglob("*.html"))
    links = "".join(f'<li><a href="{html.escape(p)}">{html.escape(p.split("/")[1])}</a></li>' for p in pages)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Data Docs</title></head>'
        '<body class="container py-4"><h1 class="h3">May the data pass?</h1>'
        f'<table class="table rules"><tbody>{"".join(rows)}</tbody></table>'
        f'<h2 class="h5">Every expectation, with the rows that break it</h2><ul>{links}</ul></body></html>\n'
    )
