"""One page about the data, for people."""

from pathlib import Path

from sadcl import files, stages
from sadcl.report import data_page

OUT = Path("reports/data.html")


def main() -> str:
    """Write the page."""
    return write(OUT)


def write(out: Path) -> str:
    """Write the page of the present project to ``out``, with or without a trained model."""
    text = data_page.render(Path())
    files.write_text(out, text)
    return f"{out} ({len(text) / 1e6:.1f} MB)"


if __name__ == "__main__":
    stages.run("data_report", "data/table, data/raw, reports", main)
