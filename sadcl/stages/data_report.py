"""Stage ``data_report``: one page about the data."""

from pathlib import Path

from sadcl.layout import DATA_REPORT
from sadcl.report import data_page

READS = "data/table, data/raw, reports"


def main() -> str:
    """Write the page."""
    return data_page.write_page(Path(), DATA_REPORT)
