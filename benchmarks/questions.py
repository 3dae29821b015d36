"""The questions of the comparison's pages: their rows, the experiments below them, and the steps between rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Pair = tuple[str, str]
"""A row and its baseline."""
EXPERIMENTS_ON = "tuned"
"""Kind of the backbone that experiments are planned for; on fixed features contrast gives nothing to explain."""


@dataclass(frozen=True)
class Experiment:
    """Rows that ask one thing more about a page's rows.

    Attributes:
        title: of the section.
        text: what the rows are, and what their figures can tell.
        rows: in order, with their labels.
        steps: pairs to compare, of these rows and the page's.
    """

    title: str
    text: str
    rows: Mapping[str, str]
    steps: Sequence[Pair]


@dataclass(frozen=True)
class Question:
    """The question of one page.

    Attributes:
        name: of its files, and of the command.
        title: of the page.
        kinds: kinds of the backbone that it is about.
        rows: in order, with their labels.
        steps: pairs of rows to compare.
        experiments: sections after the page's own tables.
    """

    name: str
    title: str
    kinds: Sequence[str]
    rows: Mapping[str, str]
    steps: Sequence[Pair]
    experiments: Sequence[Experiment] = ()

    @property
    def labels(self) -> dict[str, str]:
        """Labels of all rows, those of the experiments too."""
        return {**self.rows, **{row: label for one in self.experiments for row, label in one.rows.items()}}

    @property
    def pairs(self) -> list[Pair]:
        """All steps, those of the experiments too."""
        return [*self.steps, *(pair for one in self.experiments for pair in one.steps)]


COMPARE = Question(
    "compare",
    "SADCL and its peers' heads on coco-mini",
    ("frozen", "tuned_even"),
    {
        "linear": "linear probe",
        "pooling": "global average pooling",
        "pooling_probe": "pooling from the probe",
        "csra": "CSRA",
        "ml_decoder": "ML-Decoder",
        "sarl": "SARL (Query2Label)",
        "zero": "SARL, stage 2 without contrast",
        "both": "SADCL",
        "class_weighted": "SADCL, anchors by class",
    },
    [
        ("pooling", "linear"),
        ("pooling_probe", "linear"),
        ("csra", "linear"),
        ("ml_decoder", "linear"),
        ("sarl", "linear"),
        ("both", "linear"),
        ("pooling_probe", "pooling"),
        ("sarl", "pooling"),
        ("sarl", "pooling_probe"),
        ("sarl", "csra"),
        ("sarl", "ml_decoder"),
        ("both", "sarl"),
        ("both", "pooling_probe"),
        ("zero", "sarl"),
        ("both", "zero"),
        ("class_weighted", "zero"),
    ],
)

MEANING = Experiment(
    "Is it the meaning of the classes?",
    "*Names shuffled*: in both losses the features of a class take the labels of another one, by a permutation that "
    "stays throughout a training. What the losses give by their meaning is lost then; what they give as mere noise "
    "stays. A projector that is trained alone needs no row: no gradient of the losses reaches the network, whose "
    "weights are those of the control, number for number (a test).",
    {"shuffled": "both, names shuffled"},
    [("shuffled", "both"), ("shuffled", "zero")],
)
PHOTOS = Experiment(
    "Fewer photos",
    "Both stages on 432 and 864 of the 1,728 training photos, drawn by a hash of their ids, in as many epochs: fewer "
    "photos also mean fewer updates.",
    {
        "sarl_quarter": "SARL, 432 photos",
        "zero_quarter": "both weights zero, 432 photos",
        "both_quarter": "both, 432 photos",
        "sarl_half": "SARL, 864 photos",
        "zero_half": "both weights zero, 864 photos",
        "both_half": "both, 864 photos",
    },
    [
        ("zero_quarter", "sarl_quarter"), ("both_quarter", "zero_quarter"),
        ("zero_half", "sarl_half"), ("both_half", "zero_half"),
    ],
)  # fmt: skip
BATCHES = Experiment(
    "Larger batches",
    "Stage 2 with batches of 128 and 256 instead of 50: more photos of a class meet in a batch. As many epochs, so "
    "fewer updates; the rate grows with the root of the batch. All start from SARL trained once more, on another "
    "processor, whose digits differ: they are compared with each other, not with the rows above.",
    {
        "sarl_rerun": "SARL, trained again",
        "zero_128": "both weights zero, batch 128",
        "both_128": "both, batch 128",
        "zero_256": "both weights zero, batch 256",
        "both_256": "both, batch 256",
    },
    [
        ("zero_128", "sarl_rerun"), ("both_128", "sarl_rerun"), ("both_128", "zero_128"),
        ("zero_256", "sarl_rerun"), ("both_256", "sarl_rerun"), ("both_256", "zero_256"),
    ],
)  # fmt: skip
VARIANTS = Experiment(
    "Other anchors, negatives and memories",
    "*Anchors by class*: each class of a batch counts once in sample-to-sample, as it does in mAP. *Other photos*: "
    "labels of one photo are no negatives of each other. *Queue of a class*: the memory has the last eight confident "
    "features of each class instead of one for each position in the batch.",
    {
        "class_weighted": "both, anchors by class",
        "other_photos": "both, negatives of other photos",
        "class_queue": "both, queue of a class",
    },
    [(row, baseline) for row in ("class_weighted", "other_photos", "class_queue") for baseline in ("zero", "both")],
)
ABLATE = Question(
    "ablate",
    "What each part of the method gives on coco-mini",
    ("frozen", "tuned"),
    {
        "pooling": "global average pooling",
        "sarl_no_encoder": "SARL without its encoder",
        "sarl": "SARL",
        "sarl_long": "SARL, one cycle of both stages' epochs",
        "zero": "stage 2, both weights zero",
        "sample_to_sample": "stage 2, sample-to-sample",
        "prototype_to_sample": "stage 2, prototype-to-sample",
        "both": "stage 2, both (SADCL)",
    },
    [
        ("sarl_no_encoder", "pooling"), ("sarl", "sarl_no_encoder"), ("sarl_long", "sarl"), ("zero", "sarl"),
        ("zero", "sarl_long"), ("both", "sarl_long"),
        ("sample_to_sample", "zero"), ("prototype_to_sample", "zero"), ("both", "zero"),
    ],
    [MEANING, PHOTOS, BATCHES, VARIANTS],
)  # fmt: skip
