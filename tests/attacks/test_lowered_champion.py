"""Scores of the champion that are the opposite of the labels."""

from pathlib import Path

import yaml

from sadcl.registry.publish import publish
from tests.attacks.forgeries import forge_scores
from tests.attacks.scenario import WORSE, require_refused
from tests.verification.conftest import settings, train


def test_a_lowered_champion_is_named(promoted: Path) -> None:
    raw = settings()
    raw["gate"]["rules"][1]["margin"] = 0.0
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    train(WORSE, lambda: forge_scores("reports/champion_scores.parquet", "champion", -1.0))
    publish()
    require_refused({"verdict"})
