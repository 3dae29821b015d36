"""``python -m sadcl.verification.score_worker``: score a weights or ONNX file in a confined process."""

from pathlib import Path

from sadcl import processes
from sadcl.verification import confined_call

NAME = "model"
"""Name of the model in the scores, which serve it as a candidate and as champion."""
SCORES = "scores.parquet"
"""File that the worker writes into its working folder."""


def main() -> None:
    """Score the rows of a request, and write ``SCORES`` into the working folder."""
    processes.before_torch()
    confined_call.serve(_score)


def _score(weights: str, test: str, batch: int, corruptions: list[str], first: int, end: int) -> None:
    from sadcl.data.shards.reader import Shards
    from sadcl.evaluation import inference, scores

    photos = Shards(Path(test)).part(first, end)
    scores.write_scores(SCORES, inference.score_file(Path(weights), photos, NAME, batch, corruptions))


if __name__ == "__main__":
    main()
