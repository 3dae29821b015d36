"""Rules of the author, below those of the team."""

from pathlib import Path

from tests.attacks.scenario import lower_bounds, require_refused


def test_lowered_bounds_are_named(promoted: Path) -> None:
    lower_bounds()
    require_refused({"verdict"})
