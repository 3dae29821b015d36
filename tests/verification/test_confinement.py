"""Confinement of programs that open untrusted files: no log-ins, no network, no other files, and bounds."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sadcl import files
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation.scores import Scores
from sadcl.verification import confinement, scoring
from tests.verification.conftest import save

PROBE = """
import json, os, socket, sys
from pathlib import Path
from sadcl.verification import confinement

closed = confinement.confine(confinement.Limits(file=1000))
result = {"closed": closed, "folder": os.getcwd(), "variables": sorted(os.environ)}
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[2])), timeout=5)
    result["connected"] = True
except OSError:
    result["connected"] = False
result["sees"] = Path(sys.argv[1]).exists()
try:
    Path("large").write_bytes(bytes(2000))
except OSError as error:
    result["large"] = error.strerror
print(json.dumps(result))
"""


def score(folder: Path, **settings: Any) -> Scores:
    """Score the project's test photos with the weights in a folder, which also has the cache."""
    model = scoring.Model(files.digest(folder / "weights.safetensors"), ".safetensors", folder / "weights.safetensors")
    return scoring.score(model, Shards(Path("data/shards/test")), "sadcl", 8, root=folder, **settings)


@pytest.fixture(params=["bubblewrap", "plain"])
def wrapped(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With bubblewrap, where it works here, and without."""
    if request.param == "plain":
        monkeypatch.setattr(confinement, "sees_only_its_files", lambda: False)
    elif not confinement.sees_only_its_files():
        pytest.skip("bubblewrap is not installed, or may not create namespaces here")
    return bool(request.param == "bubblewrap")


def test_a_confined_program_has_no_logins_no_network_and_no_other_files(
    wrapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    folder, secret = tmp_path / "work", tmp_path / "administrator.json"
    folder.mkdir()
    secret.write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        command = confinement.command(["-c", PROBE, str(secret), port], [], folder)
        completed = subprocess.run(
            command, cwd=folder, env=confinement.environment(folder), capture_output=True, text=True, check=False
        )
    assert completed.returncode == 0, completed.stderr
    probed = json.loads(completed.stdout)
    assert probed["folder"] == str(folder)
    assert not {"MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY"} & set(probed["variables"])
    assert probed["connected"] == (not wrapped and not probed["closed"])
    assert probed["sees"] == (not wrapped)
    assert probed["large"] == "File too large"


def test_a_model_that_exceeds_a_limit_is_a_sentence(wrapped: bool, promoted: Path, tmp_path: Path) -> None:
    save(tmp_path / "weights.safetensors", 11)
    for limits in (confinement.Limits(memory=2**29), confinement.Limits(seconds=1)):
        with pytest.raises(SadclError, match="The model can't be scored: "):
            score(tmp_path, limits=limits)
    assert not (tmp_path / ".sadcl").exists()


def test_a_damaged_file_is_a_sentence_and_leaves_nothing(wrapped: bool, promoted: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    with pytest.raises(SadclError, match="The model can't be scored: "):
        score(tmp_path)
    assert not (tmp_path / ".sadcl").exists()


def test_scores_are_computed_once_for_the_same_weights_and_photos(promoted: Path, tmp_path: Path) -> None:
    save(tmp_path / "weights.safetensors", 12)
    first = score(tmp_path)
    [cached] = (tmp_path / ".sadcl/verified").glob("*/*.parquet")
    before = cached.stat().st_mtime_ns
    again = score(tmp_path)
    assert cached.stat().st_mtime_ns == before
    assert (again.logits["sadcl"] == first.logits["sadcl"]).all()
    cached.write_bytes(b"damaged")
    repaired = score(tmp_path)
    assert (repaired.logits["sadcl"] == first.logits["sadcl"]).all()


@pytest.mark.slow
def test_a_verification_that_was_killed_goes_on_where_it_stood(
    promoted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "weights.safetensors", 13)
    whole = score(tmp_path)
    monkeypatch.setattr(scoring, "PART", 8)
    score(tmp_path)
    folders = [folder for folder in (tmp_path / ".sadcl/verified").iterdir() if len(list(folder.iterdir())) == 4]
    [folder] = folders
    for name in ("16.parquet", "24.parquet"):  # as if the second half had not been reached
        (folder / name).unlink()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    resumed = score(tmp_path)
    assert (resumed.logits["sadcl"] == whole.logits["sadcl"]).all()
    assert (resumed.digests, resumed.slices) == (whole.digests, whole.slices)
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before
    assert len(list(folder.iterdir())) == 4
