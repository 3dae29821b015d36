"""Workers that fail: a full disk or too little memory may pass, files that can't be judged may not."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sadcl.errors import SadclError
from sadcl.evaluation.calibration import identity_calibration
from sadcl.evaluation.scores import Scores, read_scores, write_scores
from sadcl.verification import confined_call, scoring
from tests.verification.conftest import save
from tests.verification.test_confinement import score


@pytest.fixture
def weights(promoted: Path, tmp_path: Path) -> Path:
    """A folder with weights."""
    save(tmp_path / "weights.safetensors", 15)
    return tmp_path


def parts(folder: Path) -> list[Path]:
    """Parts of scores in the cache."""
    return list((folder / ".sadcl").rglob("*.parquet"))


@pytest.mark.parametrize(
    "body",
    [
        "with files.translate_disk_errors(Path('x')): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))",
        "try: bytearray(1 << 60)\n    except MemoryError: raise SadclError('The file is damaged') from None",
        "import torch; torch.empty(1 << 50)",
    ],
)
def test_what_may_pass_is_no_fault_of_the_model(weights: Path, run_instead: Callable[[str], object], body: str) -> None:
    run_instead(body)
    with pytest.raises(SadclError, match="its process lacked memory or room on the disk") as raised:
        score(weights)
    assert not isinstance(raised.value, scoring.UnscorableError)
    assert not parts(weights)


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (os_error(errno.ENOSPC), True), (os_error(errno.EDQUOT), True), (os_error(errno.ENOMEM), True),
        (MemoryError(), True), (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("can't start new thread"), True), (ImportError("x.so: failed to map segment"), True),
        (os_error(errno.EFBIG), False), (SadclError("The file is damaged"), False), (KeyError("best"), False),
        (KeyError("out of memory"), False), (SadclError("No weights", where="out of memory.onnx"), False),
        (RuntimeError("Error(s) in loading state_dict: Unexpected key: out of memory"), False),
    ],
)  # fmt: skip
def test_a_full_disk_and_a_lack_of_memory_may_pass(error: Exception, expected: bool) -> None:
    assert confined_call.may_pass(error) == expected
    with pytest.raises(SadclError) as raised:
        raise_for(error)
    assert confined_call.may_pass(raised.value) == expected


def raise_for(error: Exception) -> None:
    try:
        raise error
    except Exception:
        raise SadclError("The file can't be read") from None


@pytest.mark.parametrize(
    "body",
    [
        "raise SadclError('The file is damaged')",
        "Path('answer.json').write_text('{'); os._exit(0)",
        "os.symlink('scores.parquet', 'answer.json'); os._exit(0)",
        "os._exit(0)",
        "pass",
    ],
)
def test_a_worker_without_scores_is_a_fault_of_the_model(
    weights: Path, run_instead: Callable[[str], object], body: str
) -> None:
    run_instead(body)
    with pytest.raises(scoring.UnscorableError, match="The model can't be scored: "):
        score(weights)
    assert not parts(weights)


def test_scores_that_can_t_be_judged_are_a_fault_of_the_model_and_are_not_cached(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(weights)
    [part] = parts(weights)
    whole = read_scores(part)
    values = whole.logits["model"]
    shutil.rmtree(weights / ".sadcl")
    less = whole.part(np.arange(len(whole) - 1))
    changes: list[dict[str, Any]] = [
        {"classes": ("a", "b", "c")}, {"logits": {"other": values}}, {"logits": {"model": values, "more": values}},
        {"logits": {"model": values * np.nan}}, {"cost": {}}, {"training_overlap": {}},
        {"decisions": {"more": identity_calibration(3)}},
    ]  # fmt: skip
    for wrong in (less, *(replace(whole, **change) for change in changes), None):
        monkeypatch.setattr(scoring, "_run_worker", lambda *_, wrong=wrong: write(weights / "computed", wrong))
        with pytest.raises(scoring.UnscorableError, match="The model can't be scored: "):
            score(weights)
        assert not parts(weights)
    monkeypatch.setattr(scoring, "_run_worker", lambda *_: write(weights / "computed", whole))
    assert len(score(weights)) == len(whole)
    write(parts(weights)[0], less)  # as an earlier release has left it in the cache
    assert len(score(weights)) == len(whole)
    assert len(read_scores(parts(weights)[0])) == len(whole)


def write(path: Path, scores: Scores | None) -> Path:
    """Write scores, or a file that has none."""
    if scores is None:
        path.write_text("x")
    else:
        write_scores(path, scores)
    return path


def test_a_full_disk_of_this_process_is_no_fault_of_the_model(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Scores:
        raise_for(os_error(errno.ENOSPC))
        raise AssertionError

    monkeypatch.setattr(scoring, "read_scores", refuse)
    monkeypatch.setattr(scoring, "_run_worker", lambda *_: write(weights / "computed", None))
    with pytest.raises(SadclError) as raised:
        score(weights)
    assert not isinstance(raised.value, scoring.UnscorableError)
