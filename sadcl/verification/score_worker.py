"""``python -m sadcl.verification.score_worker``: score a weights or ONNX file in a confined process."""

import json
import sys
from pathlib import Path
from typing import Any

from sadcl import files, processes
from sadcl.errors import SadclError
from sadcl.verification import confinement

ANSWER, SCORES = "answer.json", "scores.parquet"
"""Files that the worker writes into its working folder: its answer, and the scores if there is no error."""


def main() -> None:
    """Read a request from standard input, and write ``ANSWER`` and ``SCORES`` into the working folder."""
    request = json.loads(sys.stdin.read())
    processes.before_torch()
    network_closed = confinement.confine(confinement.Limits(**request.pop("limits")))
    try:
        _score(**request)
    except SadclError as error:
        answer: dict[str, Any] = {"error": error.what, "fix": error.fix}
    except Exception as error:  # any: the file is not trusted to fail in a known way
        answer = {"error": f"{type(error).__name__}: {error}"[:500], "fix": None}
    else:
        answer = {"network_closed": network_closed}
    files.write_json(Path(ANSWER), answer)


def _score(weights: str, test: str, name: str, batch: int, corruptions: list[str]) -> None:
    from sadcl.data.shards.reader import Shards
    from sadcl.evaluation import inference, scores

    scores.write_scores(SCORES, inference.score_file(Path(weights), Shards(Path(test)), name, batch, corruptions))


if __name__ == "__main__":
    main()
