"""Exported models that several tests read."""

from pathlib import Path

import pytest
import torch

from sadcl.model.tagger import Tagger
from sadcl.weights import export
from tests.weights.small_models import KINDS, Exported, model

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A model and the folder of its exports; each is exported once."""
    exports: dict[str, tuple[Tagger, Path]] = {}

    def get(kind: str) -> tuple[Tagger, Path]:
        if kind not in exports:
            folder = tmp_path_factory.mktemp("exported")
            exports[kind] = model([0.0, 1.0, 0.5, 0.25], **KINDS[kind]), folder
            list(export.report(exports[kind][0], folder, folder / "no shards"))
        return exports[kind]

    return get
