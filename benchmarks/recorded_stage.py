"""``python -m benchmarks.recorded_stage STAGE``: run a stage, and write down the photos of each training step.

Each process appends to ``photos-RANK.jsonl`` in the working directory, before the step that trains on them.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Steps = dict[tuple[int, int], list[str]]
"""Ids of the photos of each (epoch, step), in the order of the global batch."""


def record(path: Path) -> None:
    """Let every training batch of this process be written to ``path`` as it is taken."""
    from sadcl.data.shards.batches import Batch, TrainingBatches

    plain = TrainingBatches.epoch

    def epoch(self: TrainingBatches, number: int, start: int = 0) -> Iterator[Batch]:
        with path.open("a", encoding="utf-8") as file:
            for step, batch in enumerate(plain(self, number, start), start):
                file.write(json.dumps({"epoch": number, "step": step, "ids": batch.ids}) + "\n")
                file.flush()  # it must be there after a kill
                yield batch

    TrainingBatches.epoch = epoch  # type: ignore[method-assign]


def read(folder: Path) -> Steps:
    """Photos of each step, from the files of all ranks; a step that was repeated counts once."""
    parts: dict[tuple[int, int], dict[int, list[str]]] = defaultdict(dict)
    for path in folder.glob("photos-*.jsonl"):
        rank = int(path.stem.rpartition("-")[2])
        for line in _complete_lines(path):
            parts[line["epoch"], line["step"]][rank] = line["ids"]
    return {step: [photo for _, ids in sorted(part.items()) for photo in ids] for step, part in sorted(parts.items())}


def _complete_lines(path: Path) -> Iterable[dict[str, Any]]:
    return (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n")


if __name__ == "__main__":
    from sadcl.stages.__main__ import main
    from sadcl.training import launch

    record(Path(f"photos-{launch.rank()}.jsonl"))
    main(sys.argv[1])
