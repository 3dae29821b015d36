"""Stage ``report``: one page about the model."""

from pathlib import Path

from sadcl import files, params
from sadcl.layout import MODEL_REPORT
from sadcl.report import model_page

READS = "models, reports, data/shards/test"


def main() -> str:
    """Write the page."""
    text = model_page.render(Path(), params.load("gate").gate)
    files.write_text(MODEL_REPORT, text)
    return f"{MODEL_REPORT} ({len(text) / 1e6:.1f} MB)"
