"""Protected inputs of a verification: settings of the gate, test photos and labels of this project."""

import json
from dataclasses import dataclass
from pathlib import Path

from sadcl import layout, params
from sadcl.data.shards.index import INDEX
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.scores import Scores
from sadcl.registry.criteria import Criteria

MOST_POSITIVES = 2000
"""Characters of the counts by class that the criteria hold; more would not fit into the registry's tag."""


@dataclass(frozen=True)
class Inputs:
    """Inputs of every verification, as they stand in a project.

    Attributes:
        root: the project.
        name: of its registered model.
        gate, evaluate: sections of params.yaml.
        test: the test photos with their labels.
        criteria: the same as acceptance criteria.
    """

    root: Path
    name: str
    gate: params.Gate
    evaluate: params.Evaluate
    test: Shards
    criteria: Criteria


def load_inputs(root: Path = Path(".")) -> Inputs:
    """Read a project's settings and test photos.

    Raises:
        SadclError: the test photos are not here, or settings are wrong.
    """
    settings, folder = params.load("gate", "evaluate", "register", path=root / params.FILE), root / layout.TEST_SHARDS
    if not (folder / INDEX).is_file():
        raise SadclError(
            "The test photos are not here, so no version can be verified", where=folder,
            fix="Run `dvc pull`, or `dvc repro prepare`",
        )  # fmt: skip
    test = Shards(folder)
    criteria = _criteria(settings.gate, settings.evaluate, test)
    return Inputs(root, settings.register_.name, settings.gate, settings.evaluate, test, criteria)


def truth(test: Shards) -> Scores:
    """Labels of the test photos, as scores without models."""
    return Scores(test.ids, test.sha256, tuple(test.classes), test.targets, test.ignored)


def _criteria(gate: params.Gate, evaluate: params.Evaluate, test: Shards) -> Criteria:
    counts = (test.targets & ~test.ignored).sum(axis=0).tolist()
    positives = dict(zip(test.classes, counts, strict=True))
    return Criteria(
        rules=[rule.model_dump(mode="json", exclude_none=True) for rule in gate.rules],
        threshold=evaluate.threshold,
        corruptions=list(evaluate.corruptions),
        photos=len(test),
        classes=len(test.classes),
        test_list=test.list_digest,
        labels=truth(test).labels_digest(),
        shards=test.digest,
        positives=positives if len(json.dumps(positives)) <= MOST_POSITIVES else {},
    )
