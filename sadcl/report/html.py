"""HTML reports: templates, inline images, CSV tables."""

import base64
import csv
import io
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from sadcl.errors import SadclError
from sadcl.names import columns, shorten

NAMES = 30
"""Most names in a sentence."""
LONGEST = 60
"""Most columns of a name below a photo; its tooltip has the whole one."""


def environment() -> Environment:
    """Jinja environment; it escapes every value that is not marked safe, since names come from other people's data."""
    environment = Environment(
        loader=PackageLoader("sadcl.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["figure"] = figure
    environment.filters["short"] = lambda value: shorten(value, lambda text: columns(text) <= LONGEST)
    environment.filters["some"] = _some
    environment.filters["count"] = lambda value: f"{value:,}"
    return environment


def figure(value: float | None) -> str:
    """A figure with two digits; a dash where it is unknown, None or NaN."""
    return "–" if value is None or value != value else f"{value:.2f}"


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - NAMES:,} more" if len(names) > NAMES else ""
    return ", ".join(names[:NAMES]) + more


def address(image: Image.Image, quality: int = 80) -> str:
    """Encode an image as a data URL."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def rows(path: Path, needed: Sequence[str] = (), numbers: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read a CSV file that a stage wrote.

    Args:
        path: the file.
        needed: columns that it has to have.
        numbers: columns of these that hold numbers.

    Raises:
        SadclError: it is missing, or a program such as a spreadsheet has saved it in another form.
    """
    fix = "Run `dvc repro` to write it again"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            values = list(csv.DictReader(file, strict=True))
        for row in values:
            if not all(isinstance(row.get(name), str) for name in needed):
                raise ValueError(f"a row lacks one of the columns {', '.join(needed)}")
            for name in numbers:
                float(row[name])
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix=fix) from None
    except (ValueError, csv.Error) as error:
        raise SadclError(f"The file is damaged: {error}", where=path, fix=fix) from None
    return values
