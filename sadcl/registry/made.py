"""What the stages made, read once and held against each other before anything of it is registered."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.errors import SadclError

WEIGHTS = Path("models/train/weights.safetensors")
SCORES = Path("reports/scores.parquet")
METRICS = Path("reports/metrics.json")
VERDICT = Path("reports/verdict.json")
VALIDATION = Path("reports/validation.json")
REPORT = Path("reports/report.html")
LOCK = Path("dvc.lock")
HISTORIES = {"pretrain": Path("models/pretrain/history.csv"), "train": Path("models/train/history.csv")}
NEEDED = (WEIGHTS, SCORES, METRICS, VERDICT, VALIDATION, REPORT, LOCK, params.FILE, *HISTORIES.values())
AGAIN = "Run `dvc repro`, which brings them together"


@dataclass(frozen=True)
class Made:
    """A model and everything that was found out about it.

    Attributes:
        root: the project's folder.
        settings: all of params.yaml, as plain dictionaries.
        name: of the registered model.
        seed: that everything random came from.
        weights: SHA-256 of the weights file.
        metrics, verdict: the values of the JSON files of that name.
    """

    root: Path
    settings: dict[str, Any]
    name: str
    seed: int
    weights: str
    metrics: dict[str, Any]
    verdict: dict[str, Any]

    @cached_property
    def head(self) -> dict[str, Any]:
        """What the weights file says of itself; read late, since it takes torch to read it."""
        from sadcl.model import weights

        return weights.read_head(self.root / WEIGHTS)

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


def gather(root: Path) -> Made:
    """Read what the stages made.

    Raises:
        SadclError: a file is missing, or stands on another model than the weights that are there.
    """
    missing = [str(path) for path in NEEDED if not (root / path).is_file()]
    if missing:
        raise SadclError(f"There is nothing to register yet: {missing[0]} is missing", where=root, fix=AGAIN)
    settings = params.load(path=root / params.FILE)
    made = Made(
        root=root,
        settings=params.read(root / params.FILE),
        name=settings.register_.name,
        seed=settings.seed,
        weights=files.digest(root / WEIGHTS),
        metrics=files.read_json(root / METRICS),
        verdict=files.read_json(root / VERDICT),
    )
    _check(made)
    return made


def _check(made: Made) -> None:
    """Figures, verdict and weights belong to each other."""
    for path, digest in ((METRICS, made.metrics["digests"]["weights"]), (VERDICT, made.verdict["model"])):
        if digest != made.weights:
            raise SadclError(
                f"{path.name} is about other weights ({str(digest)[:12]}) than {WEIGHTS} ({made.weights[:12]})",
                where=path,
                fix=AGAIN,
            )
