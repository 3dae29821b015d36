"""Both stages with a vision transformer, smaller rates for lower layers, and norms without weight decay."""

from pathlib import Path

import pytest
import torch
import yaml

from sadcl import files, params
from sadcl.prototypes.collect import class_prototypes
from sadcl.training import fit
from sadcl.weights import checkpoint, file_head

SHARDS = Path("data/shards")


class StoppedError(Exception):
    pass


def settings() -> params.Params:
    raw = params.read_settings()
    raw["model"] |= {
        "backbone": "test_vit",
        "side": 48,
        "test_side": 64,
        "output_stride": 32,
        "frozen": ["patch_embed"],
    }
    for stage in ("pretrain", "train"):
        raw[stage] |= {"layer_decay": 0.7, "decay_norms": False}
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    return params.load()


def test_a_vision_transformer_goes_through_both_stages_and_resumes(project: Path, tmp_path: Path) -> None:
    chosen = settings()

    def stop(epoch: int, score: float) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        fit.pretrain(chosen, SHARDS, stop)
    resumed = fit.pretrain(chosen, SHARDS)
    resumed.save(tmp_path / "resumed")
    whole = fit.pretrain(chosen, SHARDS)
    whole.save(tmp_path / "whole")
    start = tmp_path / "whole/weights.safetensors"
    assert files.digest(start) == files.digest(tmp_path / "resumed/weights.safetensors")
    prototypes, _ = class_prototypes(start, SHARDS / "train", chosen.prototypes)
    checkpoint.save(tmp_path / "prototypes.safetensors", {"prototypes": prototypes}, file_head.read_head(start))
    fit.train(chosen, SHARDS, start, tmp_path / "prototypes.safetensors").save(tmp_path / "train")
    before, after = (
        checkpoint.load_network(path, "raw")[0].backbone.body.state_dict()
        for path in (start, tmp_path / "train/weights.safetensors")
    )
    assert torch.equal(before["patch_embed.proj.weight"], after["patch_embed.proj.weight"])
    moved = [
        float((after[name] - before[name]).abs().mean()) for name in map("blocks.{}.attn.qkv.weight".format, range(6))
    ]
    assert 0 < moved[0] < moved[5] / 2
