"""MkDocs hook: pages of the reference that are generated while the site is built."""

from pathlib import Path
from typing import Any

import annotation_formats_page
import commands_page
import recipes_page
import settings_page
import stages_page
from mkdocs.structure.files import File, Files

from sadcl.cli import app


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to those under ``docs/``."""
    root = Path(config.config_file_path).parent
    pages = {
        "commands": commands_page.page(app),
        "settings": settings_page.page(root),
        "stages": stages_page.page(root),
        "recipes": recipes_page.page(root),
        "annotation-formats": annotation_formats_page.page(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files
