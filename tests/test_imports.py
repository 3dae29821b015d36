"""What must stay light: ``import sadcl``, ``sadcl --help``, the driver of a batch job."""

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "mlflow", "prefect", "great_expectations", "pandas", "optuna", "dvc", "matplotlib", "onnxruntime")


@pytest.mark.parametrize(
    "code",
    [
        "import sadcl",
        "import sadcl.cli, sys; sys.argv = ['sadcl', '--help']; sadcl.cli.main()",
        # the process that hands out the photos of a batch job; its workers load torch
        "from sadcl.batch import job, spec; from sadcl.batch.engines import start\n"
        "spec.versions(); start.environments(); job.loader.model_file(__import__('pathlib').Path('models'))",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    tail = f"import sys; print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    script = f"import atexit\natexit.register(lambda: exec({tail!r}, {{}}))\n{code}"
    environment = {**os.environ, "SADCL_DEVICE": "cpu"}  # torch alone can list GPUs
    completed = subprocess.run(
        [sys.executable, "-c", script], env=environment, text=True, capture_output=True, check=True
    )
    assert "HEAVY []" in completed.stdout


def test_the_public_face_is_all_there() -> None:
    import sadcl

    assert callable(sadcl.load)
    assert callable(sadcl.evaluate)
    assert callable(sadcl.losses.asymmetric)
    assert set(sadcl.__all__) <= set(dir(sadcl))
