"""``python -m sadcl.verification.score_worker``: score a weights or ONNX file in a confined process."""

import json
import sys
from pathlib import Path

from sadcl import files, processes
from sadcl.errors import SadclError
from sadcl.verification import confinement

NAME = "model"
"""Name of the model in the scores, which serve it as a candidate and as champion."""
ANSWER, SCORES = "answer.json", "scores.parquet"
"""Files that the worker writes into its working folder: its answer, and the scores if there is no error."""


def main() -> None:
    """Read a request from standard input, and write ``ANSWER`` and ``SCORES`` into the working folder."""
    request = json.loads(sys.stdin.read())
    processes.before_torch()
    confinement.confine(confinement.Limits(**request.pop("limits")))
    answer = {}
    try:
        _score(**request)
    except SadclError as error:
        answer = {"error": error.what, "fix": error.fix}
    except Exception as error:  # any: the file is not trusted to fail in a known way
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    files.write_json(Path(ANSWER), answer)


def _score(weights: str, test: str, batch: int, corruptions: list[str], first: int, end: int) -> None:
    from sadcl.data.shards.reader import Shards
    from sadcl.evaluation import inference, scores

    photos = Shards(Path(test)).part(first, end)
    scores.write_scores(SCORES, inference.score_file(Path(weights), photos, NAME, batch, corruptions))


if __name__ == "__main__":
    main()
