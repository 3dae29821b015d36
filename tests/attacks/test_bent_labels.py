"""Test labels that are the predictions of the model itself."""

from pathlib import Path

from sadcl.evaluation import scores
from sadcl.registry.publish import publish
from tests.attacks.scenario import require_refused, set_bound
from tests.verification.conftest import train, write_photos


def test_labels_bent_to_the_model_are_named(promoted: Path) -> None:
    train(2)
    predicted = scores.read_scores("reports/scores.parquet").logits["sadcl"].argmax(axis=1).tolist()
    write_photos(Path(), lambda i: [int(predicted[i])] if i < len(predicted) else [i % 3])
    train(2)
    publish()
    write_photos(Path())
    set_bound(90.0)
    require_refused({"verdict", "mAP"})
