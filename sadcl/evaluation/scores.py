"""Scores of models on each test image, in one Parquet file that report and gate read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sadcl import bounded_json, bounded_parquet, files
from sadcl.data.text_column import TextColumn
from sadcl.errors import SadclError, first_line
from sadcl.evaluation import calibration, metrics
from sadcl.evaluation.calibration import Calibration
from sadcl.evaluation.reliability import expected_calibration_error

CELL_BYTES = 2
"""Memory of an image and class without any value."""
MOST_ABOUT = 5_000_000
"""Values in the JSON part: calibrations of a few models with 100,000 classes."""
GROUP = 100_000
"""Images that a reader decodes at a time: whole columns of a million would take several times their size."""
_KEY, _LOGITS, _SLICE = b"sadcl", "logits_", "slice_"
T = TypeVar("T")
_INDEXES, _FLOATS = pa.list_(pa.int32()), pa.list_(pa.float32())


@dataclass(frozen=True)
class Scores:
    """Logits of one or more models on the same images, with the labels.

    Attributes:
        ids: of the images [N]; any sequence of texts becomes a column.
        sha256: of the photos' original bytes [N], likewise.
        classes: names [C].
        targets: bool [N, C], present.
        ignored: bool [N, C], neither present nor absent.
        slices: values [N] of each slice column.
        logits: float32 [N, C] by name of the model; those of a model on corrupted photos as ``sadcl@blur``.
        digests: of all that the scores depend on, by name: ``weights``, ``test_list``, ``labels``, ``shards``, ...
        training_overlap: by name of the model, how many of the images were in its training.
        cost: by name of the model, bytes and parameters of its file.
        decisions: by name of the model, its calibration and thresholds; without them labels need a sigmoid above 0.5.
        refused: the reason where scores are missing that should exist; None otherwise.
    """

    ids: TextColumn
    sha256: TextColumn
    classes: tuple[str, ...]
    targets: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    slices: dict[str, list[Any]] = field(default_factory=dict)
    logits: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    training_overlap: dict[str, int] = field(default_factory=dict)
    cost: dict[str, dict[str, int]] = field(default_factory=dict)
    decisions: dict[str, Calibration] = field(default_factory=dict)
    refused: str | None = None

    def __post_init__(self) -> None:
        for name in ("ids", "sha256"):
            object.__setattr__(self, name, TextColumn.from_texts(getattr(self, name)))
        shape = (len(self.ids), len(self.classes))
        arrays = {"targets": self.targets, "ignored": self.ignored, **self.logits}
        for name, array in arrays.items():
            if array.shape != shape:
                raise SadclError(f"{name} must be {shape} (images, classes), but it is {array.shape}")
        for name, column in {"sha256": self.sha256, **self.slices}.items():
            if len(column) != len(self.ids):
                raise SadclError(f"{name} must have {len(self.ids)} entries, but it has {len(column)}")
        for name, fitted in self.decisions.items():
            if any(part.shape != shape[1:] for part in fitted):
                raise SadclError(f"The calibration of {name} must have {shape[1]} classes")

    def __len__(self) -> int:
        return len(self.ids)

    def probabilities(self, name: str) -> NDArray[np.float64]:
        """Sigmoid of a model's logits [N, C]; in float64, since float32 rounds the surest images to one value."""
        return calibration.identity_calibration(len(self.classes)).probabilities(self._of(name))

    def in_use(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """A model's output in use: calibrated probabilities [N, C], and predicted labels [N, C]."""
        logits = self._of(name)
        fitted = self.decisions.get(name) or calibration.identity_calibration(len(self.classes))
        probabilities = fitted.probabilities(logits)
        return probabilities, probabilities > fitted.thresholds

    def figures(self, name: str, threshold: float) -> metrics.Figures:
        """A model's metrics on all images by the published protocol: uncalibrated, one threshold for all classes."""
        return metrics.evaluate(self.probabilities(name), self.targets, self.ignored, threshold)

    def figures_in_use(self, name: str) -> metrics.ThresholdFigures:
        """Precision, recall and F1 of a model's labels in use."""
        return metrics.label_metrics(self.in_use(name)[1], self.targets, self.ignored)

    @property
    def models(self) -> list[str]:
        """Names of the models."""
        return [name for name in self.logits if "@" not in name]

    def corrupted(self, name: str) -> dict[str, str]:
        """Keys of a model's logits on corrupted photos, by corruption."""
        return {key.partition("@")[2]: key for key in self.logits if key.startswith(f"{name}@")}

    def robustness(self, name: str) -> dict[str, float]:
        """A model's mAP on corrupted photos by corruption, and ``kept``, its mean relative to clean photos; percent.

        Empty without scores of corrupted photos.
        """
        maps = {kind: self._map(key) for kind, key in self.corrupted(name).items()}
        return {**maps, "kept": 100 * float(np.mean([*maps.values()])) / self._map(name)} if maps else {}

    def calibration_error(self, name: str, in_use: bool = True) -> float | None:
        """A model's ECE on all images, percent, calibrated or (false) uncalibrated; None without any label."""
        probabilities = self.in_use(name)[0] if in_use else self.probabilities(name)
        error = expected_calibration_error(probabilities, self.targets, self.ignored)
        return error if np.isfinite(error) else None

    def part(self, rows: NDArray[np.int64]) -> "Scores":
        """Select images, in the order of ``rows``; digests stay those of all images."""
        picked = {name: [column[i] for i in rows] for name, column in self.slices.items()}
        logits = {name: values[rows] for name, values in self.logits.items()}
        return replace(
            self, ids=self.ids.take(rows), sha256=self.sha256.take(rows), targets=self.targets[rows],
            ignored=self.ignored[rows], slices=picked, logits=logits,
        )  # fmt: skip

    def labels_digest(self) -> str:
        """SHA-256 of ids, classes, targets and ignored entries, independent of the order of the images."""
        # champion and model are compared by this digest; their files may list the photos in different orders
        rows = zip(self.ids, indexes(self.targets), indexes(self.ignored), strict=True)
        return files.digest_of([self.classes, sorted(rows)])

    def _map(self, name: str) -> float:
        return metrics.evaluate(self.probabilities(name), self.targets, self.ignored)["mAP"]

    def _of(self, name: str) -> NDArray[np.float32]:
        if name not in self.logits:
            raise SadclError(f"There are no scores of {name}", fix=f"Known are {', '.join(self.logits) or 'none'}")
        return self.logits[name]


def empty_scores(refused: str | None = None, classes: Sequence[str] = ()) -> Scores:
    """Create scores without images: there is no champion, or ``refused`` says why it can't be scored."""
    empty = np.zeros((0, len(classes)), dtype=bool)
    logits = {"champion": np.zeros((0, len(classes)), dtype=np.float32)}
    no_texts = TextColumn.from_texts(())
    return Scores(no_texts, no_texts, tuple(classes), empty, empty, logits=logits, refused=refused)


def write_scores(path: str | Path, scores: Scores) -> None:
    """Write scores atomically; equal scores give equal bytes."""
    columns: dict[str, pa.Array] = {
        "id": scores.ids.array.cast(pa.string()),
        "sha256": scores.sha256.array.cast(pa.string()),
        "targets": pa.array(indexes(scores.targets), _INDEXES),
        "ignored": pa.array(indexes(scores.ignored), _INDEXES),
        **{_SLICE + name: pa.array(values) for name, values in scores.slices.items()},
        **{_LOGITS + name: _lists(values) for name, values in scores.logits.items()},
    }
    # in the file's metadata: scores can't be separated from what they depend on
    about = {name: getattr(scores, name) for name in ("classes", "digests", "cost", "refused")}
    about["seen"] = scores.training_overlap  # the key in files
    about["decisions"] = {name: fitted.as_lists() for name, fitted in scores.decisions.items()}
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about, sort_keys=True, ensure_ascii=False)})
    with files.atomic_write(path) as temporary_path:
        pq.write_table(table, temporary_path, compression="zstd", row_group_size=GROUP)


def read_scores(path: str | Path) -> Scores:
    """Read scores.

    Raises:
        SadclError: the file is missing or damaged, or contains something else.
    """
    fix = "Run `dvc repro`"
    try:
        limit = bounded_parquet.memory_limit(path)
        return _scores(bounded_parquet.read(path, may_be_list=lambda name: not name.startswith(_SLICE)), limit)
    except FileNotFoundError:
        raise SadclError("The scores are missing", where=path, fix=fix) from None
    # another Parquet file, or a damaged one, fails in any of these ways
    except (
        pa.ArrowException,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
        OSError,
        SadclError,
    ) as error:
        reason = first_line(error)
        raise SadclError(f"The scores are damaged: {reason}", where=path, fix=fix) from None


def indexes(matrix: NDArray[np.bool_]) -> list[list[int]]:
    """List the columns that are set in each row [N, C]."""
    return [np.flatnonzero(row).tolist() for row in matrix]


def _scores(table: pa.Table, limit: int) -> Scores:
    about: Mapping[str, Any] = bounded_json.parse(table.schema.metadata[_KEY], MOST_ABOUT)
    classes = _names(about["classes"])
    width = len(classes)
    if width * len(table) * CELL_BYTES > limit:
        raise ValueError(f"it has {len(table):,} images and {width:,} classes")
    logits = {}
    for name in _named(table, _LOGITS):
        logits[name] = _rows(table[_LOGITS + name], width)
        table = table.drop_columns([_LOGITS + name])  # one copy of a model's scores at a time
    return Scores(
        ids=TextColumn(table["id"]),
        sha256=TextColumn(table["sha256"]),
        classes=tuple(classes),
        targets=_matrix(table["targets"], width),
        ignored=_matrix(table["ignored"], width),
        slices={name: table[_SLICE + name].to_pylist() for name in _named(table, _SLICE)},
        logits=logits,
        digests=_mapping(about["digests"], str),
        training_overlap=_mapping(about["seen"], int),
        cost={name: _mapping(cost, int) for name, cost in _mapping(about.get("cost", {}), dict).items()},
        refused=None if about["refused"] is None else _names([about["refused"]])[0],
        decisions={name: _calibration(lists) for name, lists in about.get("decisions", {}).items()},
    )


def _calibration(lists: Any) -> Calibration:
    fitted = Calibration.of(lists)
    if not all(np.isfinite(part).all() for part in fitted):
        raise ValueError("a calibration is not finite")
    return fitted


def _names(values: Any) -> list[str]:
    """A list of texts; raises where it is anything else, or has a lone surrogate, which no page can show."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("names are not texts")
    "".join(values).encode()
    return values


def _mapping(value: Any, kind: type[T]) -> dict[str, T]:
    """A mapping of texts to values of one type; raises where it is anything else."""
    if not isinstance(value, dict) or not all(isinstance(item, kind) for item in value.values()):
        raise TypeError(f"a mapping of texts to {kind.__name__} is missing")
    return value


def _named(table: pa.Table, prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in table.column_names if name.startswith(prefix)]


def _lists(values: NDArray[np.float32]) -> pa.Array:
    # from one flat buffer: a list of lists would turn each number into a Python object first
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    flat = np.ascontiguousarray(values, dtype=np.float32).ravel()
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)).cast(_FLOATS)


def _rows(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    """Convert lists of ``width`` numbers each to a matrix."""
    flat: NDArray[np.float32] = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32, copy=False).reshape(len(column), width)


def _matrix(column: pa.ChunkedArray, width: int) -> NDArray[np.bool_]:
    """Convert lists of column indexes to a bool matrix."""
    lists = column.combine_chunks()
    lengths = lists.value_lengths().fill_null(-1).to_numpy(zero_copy_only=False)
    flat = lists.flatten()
    if flat.null_count or not pa.types.is_integer(flat.type):
        raise TypeError("labels are not numbers of classes")
    indexes: NDArray[np.int64] = flat.to_numpy(zero_copy_only=False).astype(np.int64)
    if (lengths < 0).any() or ((indexes < 0) | (indexes >= width)).any():
        raise ValueError("a label has no class")
    matrix = np.zeros((len(lists), width), dtype=bool)
    matrix[np.repeat(np.arange(len(lists)), lengths), indexes] = True
    return matrix
