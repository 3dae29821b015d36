"""A head without label-level features ends after stage 1, with a sentence and not inside the computation."""

from pathlib import Path

import pytest
import yaml

from sadcl import params
from sadcl.errors import SadclError
from sadcl.prototypes.collect import class_prototypes
from sadcl.training import fit


def test_prototypes_of_a_head_without_features_are_refused(project: Path) -> None:
    raw = params.read_settings()
    raw["model"]["head"], raw["pretrain"]["epochs"] = "pooling", 1
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    settings, shards = params.load(), Path("data/shards")
    fit.pretrain(settings, shards).save(Path("models/pretrain"))
    with pytest.raises(SadclError, match=r"no label-level features.*model\.head.*dvc repro pretrain"):
        class_prototypes(Path("models/pretrain/weights.safetensors"), shards / "train", settings.prototypes)
