"""Folders that tests read from."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
GOLDEN_FOLDER = Path(__file__).parent / "golden"
