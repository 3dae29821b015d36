"""Latency and memory of a model, measured together with the champion's.

Times differ from machine to machine and from hour to hour, so the gate judges none of them; models take turns, photo by
photo, each in a process of its own, and the report shows ratios.
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
ROUNDS, WARM_UP, FEWEST = 40, 5, 10
LONGEST = 60
"""Seconds after which no further photo is measured."""
FAILED = "refused: "
"""How a process begins the line that says why it can't load its model."""
KIB = 1024


@dataclass(frozen=True)
class Speed:
    """Speed of a model that tags one photo at a time.

    Attributes:
        p95: milliseconds that 19 of 20 photos stay below, from bytes to labels.
        peak: MiB of memory that the process took at most.
    """

    p95: float
    peak: float


def record_latency(registration: "Registration", root: Path = Path(".")) -> str:
    """Measure a version that was just registered, and the champion; write the figures to its run and its tags.

    Returns:
        Latency and memory, or why they could not be measured, as a sentence: the version is registered all the same.
    """
    try:
        return _measure_version(registration, root)
    except SadclError as error:
        return f"Its latency could not be measured: {str(error).rstrip('.')}"


def _measure_version(registration: "Registration", root: Path) -> str:
    from sadcl.registry import lookup, schema, stage_outputs
    from sadcl.registry.client import connect

    recorded = champion.read_champion(root / layout.CHAMPION)
    models = {MODEL: root / stage_outputs.collect_stage_outputs(root).file}
    if recorded is not None:
        models[CHAMPION] = champion.weights_file(recorded, root / layout.CHAMPION_FOLDER)
    speeds = {name: asdict(speed) for name, speed in measure(models).items()}
    with connect(root, changing=True) as client:
        version = lookup.get_version(client, registration.name, registration.version)
        client.set_model_version_tag(
            registration.name, registration.version, schema.SPEED, json.dumps(speeds, sort_keys=True)
        )
        for figure, value in speeds[MODEL].items():
            client.log_metric(str(version.run_id), f"speed/{figure}", value)
    sentence = f"One photo takes {speeds[MODEL]['p95']:.0f} ms (95th percentile) and {speeds[MODEL]['peak']:.0f} MiB"
    if CHAMPION in speeds:
        ratios = {figure: f"{speeds[MODEL][figure] / speeds[CHAMPION][figure]:.2f}" for figure in ("p95", "peak")}
        sentence += f", {ratios['p95']} and {ratios['peak']} times the champion's"
    return sentence


def measure(models: Mapping[str, Path], rounds: int = ROUNDS) -> dict[str, Speed]:
    """Measure models that tag the same photo in turns.

    Args:
        models: weights or ONNX files by name.
        rounds: photos for each; on a busy machine fewer, but at least ``FEWEST``.

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
    times: dict[str, list[float]] = {name: [] for name in models}
    started = time.monotonic()
    try:
        for turn in track(range(WARM_UP + rounds), "latency, one photo", total=WARM_UP + rounds, unit="photos"):
            if turn >= WARM_UP + FEWEST and time.monotonic() - started > LONGEST:
                break
            for name, process in running.items():
                elapsed = float(_ask(process, models[name]))
                if turn >= WARM_UP:
                    times[name].append(elapsed)
        peaks = {name: float(_end(process, models[name])) for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
            process.communicate()
    return {name: Speed(sorted(times[name])[int(0.95 * len(times[name]))], peaks[name]) for name in models}


def _end(process: "subprocess.Popen[str]", file: Path) -> str:
    """Close a process's input and read its last line, the peak memory."""
    return _checked(process.communicate()[0].strip(), file)


def _ask(process: "subprocess.Popen[str]", file: Path) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        line = process.stdout.readline().strip()
    except OSError:  # the process ended
        line = ""
    return _checked(line, file)


def _checked(line: str, file: Path) -> str:
    if not line or line.startswith(FAILED):
        reason = line.removeprefix(FAILED) or "its process ended"
        raise SadclError(
            f"The model's latency can't be measured: {reason}", where=file, fix="Try `sadcl predict` on it"
        )
    return line


def _serve(file: Path) -> None:
    """Tag a photo for each input line and print the milliseconds; at the end of the input print the peak memory."""
    from PIL import Image

    from sadcl.weights import loader

    try:
        model, photo = loader.load_tagger(file), io.BytesIO()
    except SadclError as error:
        print(f"{FAILED}{error.what}", flush=True)
        return
    Image.effect_noise((640, 480), 80).convert("RGB").save(photo, "JPEG", quality=90)
    for _ in sys.stdin:
        start = time.perf_counter()
        model.predict([photo.getvalue()])
        print(1000 * (time.perf_counter() - start), flush=True)
    print(_peak(), flush=True)


def _peak() -> float:
    """Peak memory of this process in MiB; ru_maxrss would begin with the peak of the parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / KIB


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
