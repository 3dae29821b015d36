"""What the stages made, read once and held against each other before anything of it is registered."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sadcl import files, params
from sadcl.errors import SadclError

WEIGHTS = Path("models/train/weights.safetensors")
SERVED, ONNX = Path("models/served/served.json"), Path("models/served/weights.onnx")
SCORES = Path("reports/scores.parquet")
METRICS = Path("reports/metrics.json")
VERDICT = Path("reports/verdict.json")
VALIDATION = Path("reports/validation.json")
REPORT = Path("reports/report.html")
LOCK = Path("dvc.lock")
HISTORIES = {"pretrain": Path("models/pretrain/history.csv"), "train": Path("models/train/history.csv")}
NEEDED = (WEIGHTS, SERVED, SCORES, METRICS, VERDICT, VALIDATION, REPORT, LOCK, params.FILE, *HISTORIES.values())
AGAIN = "Run `dvc repro`, which brings them together"


@dataclass(frozen=True)
class Made:
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
    _there(root, *NEEDED)
    settings = params.load(path=root / params.FILE)
    file = _judged(root, settings.register_.runtime)
    made = Made(
        root=root,
        settings=params.read(root / params.FILE),
        name=settings.register_.name,
        seed=settings.seed,
        file=file,
        weights=files.digest(root / file),
        metrics=files.read_json(root / METRICS),
        verdict=files.read_json(root / VERDICT),
    )
    _check(made)
    return made


def _there(root: Path, *paths: Path) -> None:
    missing = [str(path) for path in paths if not (root / path).is_file()]
    if missing:
        raise SadclError(f"There is nothing to register yet: {missing[0]} is missing", where=root, fix=AGAIN)


def _judged(root: Path, runtime: str) -> Path:
    """The file that ``evaluate`` scored, as it noted itself: what is served is what was judged."""
    noted = files.read_json(root / SERVED, AGAIN)
    file = Path(str(noted.get("file"))) if isinstance(noted, dict) else None
    if file not in (WEIGHTS, ONNX):
        raise SadclError("This names no file that could be served", where=root / SERVED, fix=AGAIN)
    if noted.get("runtime") != runtime:
        asked = f"register.runtime asks for {runtime}"
        raise SadclError(f"The model was judged by {noted.get('runtime')}, but {asked}", where=root / SERVED, fix=AGAIN)
    _there(root, file)
    return file


def _check(made: Made) -> None:
    """Figures, verdict and weights belong to each other."""
    judged = made.metrics["digests"]
    claims = [(METRICS, judged["weights"], made.file), (VERDICT, made.verdict["model"], made.file)]
    if made.file != WEIGHTS:
        claims.append((METRICS, judged.get("train_weights"), WEIGHTS))
    for path, digest, file in claims:
        there = made.weights if file == made.file else files.digest(made.root / file)
        if digest != there:
            raise SadclError(
                f"{path.name} is about other weights ({str(digest)[:12]}) than {file} ({there[:12]})",
                where=path,
                fix=AGAIN,
            )
