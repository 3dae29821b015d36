"""How long one photo takes and how much memory a model needs, beside the champion in the same run.

Clocks differ from machine to machine and from hour to hour, so nothing is gated on them; models take turns, photo by
photo, each in a process of its own, and what is shown is a ratio.
"""

import io
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sadcl import layout
from sadcl.errors import SadclError
from sadcl.evaluation.gate import champion
from sadcl.processes import child_environment
from sadcl.progress import track

if TYPE_CHECKING:
    from sadcl.registry.publish import Registration

MODEL, CHAMPION = "model", "champion"
ROUNDS, WARM = 40, 5
REFUSED = "refused: "
KIB = 1024


@dataclass(frozen=True)
class Speed:
    """One model, one photo at a time.

    Attributes:
        p95: milliseconds that 19 of 20 photos stay below, from bytes to labels.
        peak: MiB of memory that the process took at most.
    """

    p95: float
    peak: float


def note(published: "Registration", root: Path = Path(".")) -> str:
    """Measure a version that was just registered beside the champion, and tell its run and its readers.

    Returns:
        What was found, or why nothing was, as a sentence: the version is registered all the same.
    """
    try:
        return _noted(published, root)
    except SadclError as error:
        return f"It could not be timed: {str(error).rstrip('.')}"


def _noted(published: "Registration", root: Path) -> str:
    from sadcl.registry import client as store
    from sadcl.registry import lookup, schema, stage_outputs

    reigning = champion.read_champion(root / layout.CHAMPION)
    models = {MODEL: root / stage_outputs.collect_stage_outputs(root).file}
    if reigning is not None:
        models[CHAMPION] = champion.weights_file(reigning, root / layout.CHAMPION_FOLDER)
    found = {name: asdict(speed) for name, speed in measure(models).items()}
    with store.connect(root, changing=True) as client:
        version = lookup.version(client, published.name, published.version)
        client.set_model_version_tag(published.name, published.version, schema.SPEED, json.dumps(found, sort_keys=True))
        for figure, value in found[MODEL].items():
            client.log_metric(str(version.run_id), f"speed/{figure}", value)
    ours, theirs = found[MODEL], found.get(CHAMPION)
    beside = (
        "" if theirs is None else f", {_times(ours, theirs, 'p95')} and {_times(ours, theirs, 'peak')} the champion's"
    )
    return f"One photo takes up to {ours['p95']:.0f} ms (19 of 20) and {ours['peak']:.0f} MiB of memory{beside}"


def _times(ours: Mapping[str, float], theirs: Mapping[str, float], figure: str) -> str:
    return f"{ours[figure] / theirs[figure]:.2f} times"


def measure(models: Mapping[str, Path], rounds: int = ROUNDS) -> dict[str, Speed]:
    """Let models tag the same photo in turns.

    Args:
        models: weights or ONNX files by name.
        rounds: photos for each.

    Raises:
        SadclError: a model can't be loaded.
    """
    command = [sys.executable, "-m", "sadcl.registry.latency"]
    running = {
        name: subprocess.Popen(
            [*command, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=child_environment()
        )
        for name, file in models.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in models}
    try:
        for turn in track(range(WARM + rounds), "one photo at a time", total=WARM + rounds, unit="photos"):
            for name, process in running.items():
                spent = float(_ask(process, models[name]))
                if turn >= WARM:
                    taken[name].append(spent)
        ends = {name: float(_end(process, models[name])) for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.communicate()
    return {name: Speed(sorted(taken[name])[int(0.95 * rounds)], ends[name]) for name in models}


def _end(process: "subprocess.Popen[str]", file: Path) -> str:
    return _whole(process.communicate()[0].strip(), file)


def _ask(process: "subprocess.Popen[str]", file: Path) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        said = process.stdout.readline().strip()
    except OSError:
        said = ""
    return _whole(said, file)


def _whole(said: str, file: Path) -> str:
    if not said or said.startswith(REFUSED):
        reason = said.removeprefix(REFUSED) or "its process ended"
        raise SadclError(f"The model can't be timed: {reason}", where=file, fix="Try it with `sadcl predict`")
    return said


def _serve(file: Path) -> None:
    """Tag a photo for each line that comes, and print how long it took; at the end, the memory."""
    from PIL import Image

    from sadcl.weights import loader

    try:
        model, photo = loader.load_tagger(file), io.BytesIO()
    except SadclError as error:
        print(f"{REFUSED}{error.what}", flush=True)
        return
    Image.effect_noise((640, 480), 80).convert("RGB").save(photo, "JPEG", quality=90)
    for _ in sys.stdin:
        began = time.perf_counter()
        model.predict([photo.getvalue()])
        print(1000 * (time.perf_counter() - began), flush=True)
    print(_peak(), flush=True)


def _peak() -> float:
    """MiB at most; the kernel's other count, ru_maxrss, begins with what the parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / KIB


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
