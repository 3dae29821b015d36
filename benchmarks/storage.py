"""Cost of versioning: photos as many small files against shards, in seconds of ``dvc`` commands.

    python -m benchmarks.storage [--files 100000]

Photos are noise of 4 kB, so nothing here decodes them. The remote is a folder on the same disk. ``pull`` starts with
neither cache nor files; links are as in the project (reflink, hardlink, copy). Beside it: how much of the shards ten
new photos change, by how many photos a shard has, for ids in no order and for ids that stand behind all others.
"""

import argparse
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from sadcl import files, params, pipeline
from sadcl.data import table
from sadcl.data.shards import writer
from sadcl.pipeline.dvc import dvc
from sadcl.progress import say, track

RESULTS = Path(__file__).parent / "results" / "storage.json"
FILES, BYTES, FOLDERS = 100_000, 4096, 100
SHARD_ROWS = (512, 32)
ALL_ROWS, DRAWS = (512, 128, 64, 32), 30


@dataclass(frozen=True)
class Cost:
    """Seconds of each command for one way to keep the photos; ``files`` says how many files that way has."""

    way: str
    files: int
    add: float
    status: float
    push: float
    pull: float


def measure(count: int) -> Iterator[Cost]:
    """Make the photos, then measure each way in a project of its own."""
    with tempfile.TemporaryDirectory(prefix="sadcl-storage-") as name:
        root = Path(name)
        rows = photos(root / "raw", count)
        yield _cost("photos as files", root, root / "raw")
        for shard_rows in SHARD_ROWS:
            writer.write_shards(
                rows, root, root / "shards", params.Prepare(shard_rows=shard_rows), workers=os.cpu_count() or 1
            )
            yield _cost(f"shards of {shard_rows} photos", root, root / "shards")
            shutil.rmtree(root / "shards")


def changed(shard_rows: int, *, in_order: bool) -> list[float]:
    """Share of photos in changed shards of a split when ten photos join 10,000: a number for each draw, ascending."""
    random, shares = np.random.default_rng(2307), []
    for _ in range(DRAWS):
        numbers = random.integers(1, 1 << 62) + np.arange(10_010)
        ids = [f"{n:020d}" if in_order else hashlib.md5(str(n).encode()).hexdigest() for n in numbers]
        before, after = _parts(ids[:-10], shard_rows), _parts(ids, shard_rows)
        shares.append(sum(len(part) for part in after - before) / len(ids))
    return sorted(shares)


def _parts(ids: list[str], shard_rows: int) -> set[tuple[str, ...]]:
    ids = sorted(ids)
    return {tuple(ids[start:end]) for start, end in writer.boundaries(ids, shard_rows)}


def photos(folder: Path, count: int) -> table.Table:
    """Files of noise, and a table of them."""
    noise = np.random.default_rng(2307)
    rows = []
    for i in track(range(count), "making photos", unit="photos"):
        data, file = noise.bytes(BYTES), f"{i % FOLDERS:02d}/{i:06d}.jpg"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
        rows.append((f"{i:06d}", file, hashlib.sha256(data).hexdigest()))
    ids, names, sha256 = zip(*rows, strict=True)
    columns = {
        "image_id": ids, "file": names, "split": ["train"] * count, "labels": [[0]] * count, "ignored": [[]] * count,
        "width": [1] * count, "height": [1] * count, "bytes": [BYTES] * count, "sha256": sha256,
        "problem": [None] * count,
    }  # fmt: skip
    return table.Table(pd.DataFrame({name: list(values) for name, values in columns.items()}), ("photo",), "raw", {})


def _cost(way: str, root: Path, data: Path) -> Cost:
    project = root / "project"
    project.mkdir()
    pipeline.set_up(project)
    target = project / "data"
    shutil.copytree(data, target, copy_function=os.link)
    count = sum(1 for path in target.rglob("*") if path.is_file())
    add = _seconds("add", "--quiet", "data", root=project)
    status = _seconds("status", root=project)
    push = _seconds("push", "--quiet", root=project)
    shutil.rmtree(target)
    shutil.rmtree(project / ".dvc/cache")
    pull = _seconds("pull", "--quiet", root=project)
    if sum(1 for path in target.rglob("*") if path.is_file()) != count:
        raise RuntimeError(f"{way}: dvc pull restored other files than were added")
    shutil.rmtree(project)
    return Cost(way, count, add, status, push, pull)


def _seconds(*arguments: str, root: Path) -> float:
    started = time.perf_counter()
    dvc(*arguments, root=root)
    return round(time.perf_counter() - started, 1)


def change(shard_rows: int, in_order: bool) -> dict[str, float | int | bool]:
    """Compute, print and return mean and worst case of ``changed``, in percent."""
    shares = changed(shard_rows, in_order=in_order)
    mean, worst = (round(100 * share, 1) for share in (sum(shares) / len(shares), shares[-1]))
    say(f"Ten new photos, ids {'in order' if in_order else 'in none'}, {shard_rows} a shard: {mean} %, worst {worst} %")
    return {"shard_rows": shard_rows, "in_order": in_order, "mean": mean, "worst": worst}


def main() -> None:
    """Measure, print a table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    count = parser.parse_args().files
    say(f"| {count:,} photos of {BYTES:,} bytes | files | add | status | push | pull |")
    say("|---|---|---|---|---|---|")
    costs = []
    for cost in measure(count):
        costs.append(asdict(cost))
        say(f"| {cost.way} | {cost.files:,} | {cost.add} s | {cost.status} s | {cost.push} s | {cost.pull} s |")
    changes = [change(rows, order) for order in (False, True) for rows in ALL_ROWS]
    about = {
        "photos": count,
        "bytes_each": BYTES,
        "cores": os.cpu_count(),
        "dvc": version("dvc"),
        "seconds": costs,
        "changed": changes,
    }
    files.write_json(RESULTS, about)


if __name__ == "__main__":
    main()
