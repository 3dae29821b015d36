"""What the stages made, read once and held against each other before anything of it is registered."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sadcl import files, layout, params
from sadcl.errors import SadclError

WEIGHTS, ONNX = layout.SERVED / "weights.safetensors", layout.SERVED / "weights.onnx"
LOCK = Path("dvc.lock")
HISTORIES = {"pretrain": Path("models/pretrain/history.csv"), "train": Path("models/train/history.csv")}
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
AGAIN = "Run `dvc repro`, which brings them together"


@dataclass(frozen=True)
class StageOutputs:
    """A model and everything that was found out about it.

    Attributes:
        root: the project's folder.
        settings: all of params.yaml, as plain dictionaries.
        name: of the registered model.
        seed: that everything random came from.
        file: what is registered and served, below ``root``: the weights, or the ONNX file made of them.
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
        """What that file says of itself; read late, since it takes torch to read it."""
        from sadcl.weights import loader

        return loader.read_head(self.root / self.file)

    @cached_property
    def identity(self) -> str:
        """The same weights judged on the same test images and labels are the same model."""
        digests = self.metrics["digests"]
        return files.digest_of([self.weights, digests["test_list"], digests["labels"], digests["shards"]])

    @property
    def test(self) -> str:
        """Digest of the list of test images that figures and verdict stand on."""
        return str(self.metrics["digests"]["test_list"])

    @property
    def passed(self) -> bool:
        return bool(self.verdict["verdict"] == "pass")

    @property
    def judged_against(self) -> str:
        """SHA-256 of the weights of the champion that the gate compared with; empty where there was none."""
        return str(self.verdict["champion"] or "")


def collect_stage_outputs(root: Path) -> StageOutputs:
    """Read what the stages made.

    Raises:
        SadclError: a file is missing, or stands on another model than the weights that are there.
    """
    _require_files(root, *NEEDED)
    settings = params.load(path=root / params.FILE)
    file, other = (ONNX, WEIGHTS) if settings.register_.runtime == "onnx" else (WEIGHTS, ONNX)
    if (root / other).is_file():
        asked = f"register.runtime asks for {settings.register_.runtime}"
        raise SadclError(f"The model was judged by another runtime, but {asked}", where=root / other, fix=AGAIN)
    _require_files(root, file)
    made = StageOutputs(
        root=root,
        settings=params.read_settings(root / params.FILE),
        name=settings.register_.name,
        seed=settings.seed,
        file=file,
        weights=files.digest(root / file),
        metrics=files.read_json(root / layout.METRICS),
        verdict=files.read_json(root / layout.VERDICT),
    )
    _check(made, settings)
    return made


def _require_files(root: Path, *paths: Path) -> None:
    missing = [str(path) for path in paths if not (root / path).is_file()]
    if missing:
        raise SadclError(f"There is nothing to register yet: {missing[0]} is missing", where=root, fix=AGAIN)


def _check(made: StageOutputs, settings: params.Params) -> None:
    """Figures, verdict, settings and weights belong to each other."""
    from sadcl.evaluation.gate.verdict import settings_digest

    judged, trained = made.metrics["digests"], files.digest(made.root / layout.TRAIN_WEIGHTS)
    for path, digest, file, there in (
        (layout.METRICS, judged["weights"], made.file, made.weights),
        (layout.VERDICT, made.verdict["model"], made.file, made.weights),
        (layout.METRICS, judged.get("train_weights"), layout.TRAIN_WEIGHTS, trained),
    ):
        if digest != there:
            raise SadclError(
                f"{path.name} is about other weights ({str(digest)[:12]}) than {file} ({there[:12]})",
                where=path,
                fix=AGAIN,
            )
    if made.verdict.get("digests") != judged:
        raise SadclError(
            "The verdict is about other scores than the figures", where=made.root / layout.VERDICT, fix=AGAIN
        )
    asked = settings_digest(settings.gate, settings.evaluate.threshold)
    if made.verdict.get("settings") != asked:
        raise SadclError(
            "The verdict answers to other rules than params.yaml has", where=made.root / layout.VERDICT, fix=AGAIN
        )
