"""Files of a registered version, valid or nearly so, and how each is read.

Whoever registers a version writes them; they are read by commands, the registry's server and the review page.
"""

from benchmarks.fuzz.documents import card, document, metrics, read_card, read_params, settings, verdict
from benchmarks.fuzz.networks import onnx, read_onnx, read_weights, weights
from benchmarks.fuzz.score_files import annotations, read_annotations, read_scores, scores
from benchmarks.fuzz.version_file import VersionFile
from benchmarks.fuzz.version_tags import read_tags, tags

VERSION_FILES: dict[str, VersionFile] = {
    "weights": VersionFile(weights, read_weights), "onnx": VersionFile(onnx, read_onnx),
    "scores": VersionFile(scores, read_scores), "annotations": VersionFile(annotations, read_annotations),
    "params": VersionFile(settings, read_params),
    "verdict": document("verdict.json", verdict, "Verdict"),
    "metrics": document("metrics.json", metrics, "Metrics"),
    "card": VersionFile(card, read_card), "tags": VersionFile(tags, read_tags),
}  # fmt: skip
