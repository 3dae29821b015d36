"""Global average pooling with the backbone, data and total epochs of SARL and SADCL."""

from pathlib import Path

from sadcl import files, params
from sadcl.data.shards.batches import evaluation_batches
from sadcl.data.shards.reader import Shards
from sadcl.evaluation.metrics import evaluate
from sadcl.model import device, tagger
from sadcl.progress import track
from sadcl.stages import runner
from sadcl.training import fit
from sadcl.weights import checkpoint

SHARDS, OUT = Path("data/shards"), Path("benchmarks/pooling")
FIGURES = ("mAP", "CP", "CR", "CF1", "CF1_harmonic", "OP", "OR", "OF1")


def main() -> str:
    """Train the baseline for the epochs of both stages, and score it on the test split."""
    settings = params.load("model", "pretrain", "train", "evaluate", "seed")
    baseline = settings.model_copy(
        update={
            "model": settings.model.model_copy(update={"head": "pooling"}),
            "pretrain": settings.pretrain.model_copy(
                update={"epochs": settings.pretrain.epochs + settings.train.epochs}
            ),
        }
    )
    fit.pretrain(baseline, SHARDS).save(OUT)
    figures = _score(OUT / "weights.safetensors", settings.evaluate)
    files.write_json(OUT / "metrics.json", {"pooling": figures})
    return f"pooling with test mAP {figures['mAP']:.2f} in {OUT}"


def _score(file: Path, settings: params.Evaluate) -> dict[str, float]:
    network, head = checkpoint.load_network(file)
    test, target = Shards(SHARDS / "test"), device.pick()
    batches = evaluation_batches(test, params.Model(**head["model"]).for_test(), settings.batch)
    tracked = track(batches, "test", total=-(-len(test) // settings.batch), each=settings.batch)
    scores = tagger.sigmoid(tagger.logits(network.to(target), tracked, target, head["precision"]))
    figures = evaluate(scores, test.targets, test.ignored, settings.threshold)
    return {name: float(figures[name]) for name in FIGURES}  # type: ignore[literal-required]


if __name__ == "__main__":
    runner.run("pooling", f"{SHARDS}", main)
