"""Outputs of the stages: read once, and checked against each other before anything is registered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sadcl import files, layout, params
from sadcl.errors import SadclError
from sadcl.weights import loader

WEIGHTS, ONNX = layout.SERVED / "weights.safetensors", layout.SERVED / "weights.onnx"
LOCK = Path("dvc.lock")
HISTORIES = {"pretrain": layout.PRETRAIN_HISTORY, "train": layout.TRAIN_HISTORY}
NEEDED = (
    layout.TRAIN_WEIGHTS,
    layout.SCORES,
    layout.METRICS,
    layout.VERDICT,
    layout.VALIDATION,
    layout.MODEL_REPORT,
    LOCK,
    params.FILE,
    *HISTORIES.values(),
)
REPRODUCE = "Run `dvc repro`, which makes them again"


@dataclass(frozen=True)
class StageOutputs:
    """A model with its figures and its verdict.

    Attributes:
        root: the project's folder.
        settings: all of params.yaml, as plain dictionaries.
        name: of the registered model.
        seed: of all random numbers.
        file: the served file, below ``root``: the weights, or the ONNX file exported from them.
        weights: SHA-256 of that file.
        metrics, verdict: the values of the JSON files of that name.
    """

    root: Path
    settings: dict[str, Any]
    name: str
    seed: int
    file: Path
    weights: str
    metrics: dict[str, Any]
    verdict: dict[str, Any]

    @cached_property
    def head(self) -> dict[str, Any]:
        """Metadata in the served file."""
        return loader.read_head(self.root / self.file)

    @cached_property
    def identity(self) -> str:
        """Digest of weights, test images and labels: equal ones are the same model, judged on the same test."""
        digests = self.metrics["digests"]
        return files.digest_of([self.weights, digests["test_list"], digests["labels"], digests["shards"]])

    @property
    def test(self) -> str:
        """Digest of the list of test images behind figures and verdict."""
        return str(self.metrics["digests"]["test_list"])

    @property
    def passed(self) -> bool:
        """Whether the gate passed the model."""
        return bool(self.verdict["verdict"] == "pass")

    @property
    def judged_against(self) -> str:
        """SHA-256 of the weights of the champion that the gate compared with; empty where there was none."""
        return str(self.verdict["champion"] or "")


@contextmanager
def translate_form_errors(where: object) -> Iterator[None]:
    """Convert the errors of reading figures, verdict or validation that have another form.

    Raises:
        SadclError: in their place.
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
        raise SadclError(
            f"Figures, verdict or validation have another form than this sadcl writes: {reason}",
            where=where,
            fix=REPRODUCE,
        ) from None


def collect_stage_outputs(root: Path) -> StageOutputs:
    """Read the outputs of the stages.

    Raises:
        SadclError: a file is missing, or belongs to another model than the served file.
    """
    _require_files(root, *NEEDED)
    settings = params.load(path=root / params.FILE)
    file, stale = (ONNX, WEIGHTS) if settings.register_.runtime == "onnx" else (WEIGHTS, ONNX)
    if (root / stale).is_file():  # the gate judged the outputs of this file
        setting = f"register.runtime is {settings.register_.runtime}"
        raise SadclError(f"The gate judged another runtime, but {setting}", where=root / stale, fix=REPRODUCE)
    _require_files(root, file)
    outputs = StageOutputs(
        root=root,
        settings=params.read_settings(root / params.FILE),
        name=settings.register_.name,
        seed=settings.seed,
        file=file,
        weights=files.digest(root / file),
        metrics=files.read_json(root / layout.METRICS),
        verdict=files.read_json(root / layout.VERDICT),
    )
    _check(outputs, settings)
    return outputs


def _require_files(root: Path, *paths: Path) -> None:
    missing = [str(path) for path in paths if not (root / path).is_file()]
    if missing:
        raise SadclError(f"There is nothing to register yet: {missing[0]} is missing", where=root, fix=REPRODUCE)


def _check(outputs: StageOutputs, settings: params.Params) -> None:
    """Raise where figures, verdict, settings and weights do not belong together."""
    from sadcl.evaluation.gate.verdict import settings_digest

    judged, trained = outputs.metrics["digests"], files.digest(outputs.root / layout.TRAIN_WEIGHTS)
    for path, digest, file, actual in (
        (layout.METRICS, judged["weights"], outputs.file, outputs.weights),
        (layout.VERDICT, outputs.verdict["model"], outputs.file, outputs.weights),
        (layout.METRICS, judged.get("train_weights"), layout.TRAIN_WEIGHTS, trained),
    ):
        if digest != actual:
            raise SadclError(
                f"{path.name} is about other weights ({str(digest)[:12]}) than {file} ({actual[:12]})",
                where=path,
                fix=REPRODUCE,
            )
    if outputs.verdict.get("digests") != judged:
        raise SadclError(
            "The verdict was computed from other scores than the figures",
            where=outputs.root / layout.VERDICT,
            fix=REPRODUCE,
        )
    expected = settings_digest(settings.gate, settings.evaluate.threshold)
    if outputs.verdict.get("settings") != expected:
        raise SadclError(
            "The verdict was computed with other rules than params.yaml has",
            where=outputs.root / layout.VERDICT,
            fix=REPRODUCE,
        )
