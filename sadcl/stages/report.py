"""One page for people."""

from pathlib import Path

from sadcl import files, params, stages
from sadcl.report import model_page

OUT = Path("reports/report.html")


def main() -> str:
    """Write the page."""
    text = model_page.render(Path(), params.load("gate").gate)
    files.write_text(OUT, text)
    return f"{OUT} ({len(text) / 1e6:.1f} MB)"


if __name__ == "__main__":
    stages.run("report", "models, reports, data/shards/test", main)
