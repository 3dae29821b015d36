"""What the pages have in common: their templates, pictures that stand in the text, tables that they read."""

import base64
import csv
import io
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from sadcl.errors import SadclError


def environment() -> Environment:
    """Names of classes and images are other people's data: whatever is not marked safe is escaped."""
    made = Environment(
        loader=PackageLoader("sadcl.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters["figure"] = lambda value: "–" if value is None or value != value else f"{value:.2f}"
    made.filters["count"] = lambda value: f"{value:,}"
    return made


def address(image: Image.Image, quality: int = 80) -> str:
    """A picture as an address that holds all of it."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file that a stage wrote.

    Raises:
        SadclError: it is missing.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix="Make it again with `dvc repro`") from None
