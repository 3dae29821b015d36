"""What must stay light: ``import sadcl`` and ``sadcl --help``."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "mlflow", "prefect", "great_expectations", "pandas", "optuna", "dvc", "matplotlib", "onnxruntime")


@pytest.mark.parametrize(
    "code", ["import sadcl", "import sadcl.cli, sys; sys.argv = ['sadcl', '--help']; sadcl.cli.main()"]
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    tail = f"import sys; print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    script = f"import atexit\natexit.register(lambda: exec({tail!r}, {{}}))\n{code}"
    printed = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True, check=True).stdout
    assert "HEAVY []" in printed


def test_the_public_face_is_all_there() -> None:
    import sadcl

    assert callable(sadcl.load)
    assert callable(sadcl.evaluate)
    assert callable(sadcl.losses.asymmetric)
    assert set(sadcl.__all__) <= set(dir(sadcl))
