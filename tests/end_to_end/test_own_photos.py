"""The README's "Your own photos": a folder of photos and a CSV become a promoted model in five commands."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from tests.paths import REPOSITORY

BIN = Path(sys.executable).parent


def commands() -> list[str]:
    section = (REPOSITORY / "README.md").read_text().split("## Your own photos")[1].split("\n## ")[0]
    return [line.strip() for line in re.findall(r"^    (?:sadcl|dvc) .*$", section, re.MULTILINE)][:5]


def photos(folder: Path) -> None:
    """Sixty small photos of discs, squares and both."""
    (folder / "kitchen").mkdir(parents=True)
    rng, lines = np.random.default_rng(3), ["file,labels,camera"]
    for i in range(60):
        noise = rng.integers(40, 120, (6, 8, 3), dtype=np.uint8)
        photo = Image.fromarray(noise).resize((128, 96), Image.Resampling.BICUBIC)
        labels = [name for name in ("disc", "square") if rng.random() < 0.5]
        for name in labels:
            x, y = (int(value) for value in rng.integers(5, 55, 2))
            draw = ImageDraw.Draw(photo)
            (draw.ellipse if name == "disc" else draw.rectangle)(
                (x, y, x + 35, y + 35), fill="red" if name == "disc" else "lime"
            )
        photo.save(folder / f"kitchen/{i:03}.jpg")
        lines.append(f"kitchen/{i:03}.jpg,{';'.join(labels)},{'phone' if i % 2 else ''}")
    (folder / "labels.csv").write_text("\n".join(lines))


@pytest.mark.slow
def test_five_commands_from_an_empty_folder(tmp_path: Path) -> None:
    photos(tmp_path / "photos")
    project = tmp_path / "project"
    project.mkdir()
    surroundings = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1",
        "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip
    asked = commands()
    assert [command.split()[:2] for command in asked] == [
        ["sadcl", "data"], ["dvc", "repro"], ["sadcl", "register"], ["sadcl", "promote"], ["sadcl", "predict"],
    ]  # fmt: skip
    printed = []
    for number, command in enumerate(asked):
        words = [word.replace("~", str(tmp_path)) for word in shlex.split(command)]
        completed = subprocess.run(words, cwd=project, env=surroundings, text=True, capture_output=True, timeout=900)
        assert completed.returncode == 0, completed.stdout + completed.stderr
        printed.append(completed.stdout)
        if number == 0:
            shorten(project / "params.yaml")
    assert "60 photos of 2 classes" in printed[0]
    assert "challenger" in printed[2]
    assert "champion now" in printed[3]
    assert "001.jpg: " in printed[4]


def shorten(settings: Path) -> None:
    """One epoch of each stage on smaller photos: enough to see that it runs."""
    raw = yaml.safe_load(settings.read_text())
    raw["model"]["side"] = 64
    raw["pretrain"]["epochs"], raw["train"]["epochs"] = 4, 2
    settings.write_text(yaml.safe_dump(raw, sort_keys=False))
