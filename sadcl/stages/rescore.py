"""The champion's scores on the present test images."""

from pathlib import Path

from sadcl import params, stages
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.evaluation import inference, scores
from sadcl.evaluation.gate import champion
from sadcl.progress import say

SHARDS, OUT = Path("data/shards/test"), Path("reports/champion_scores.parquet")


def main() -> str:
    """Score the champion; one whose scores can't be compared leaves the reason, with which the gate refuses.

    Weights that are missing or damaged stop the stage instead: once they are back, nothing else would make it stale.
    """
    settings, reigning = params.load("evaluate").evaluate, champion.read()
    if reigning is None:
        scores.write(OUT, scores.nothing())
        return f"no champion yet, so no scores in {OUT}"
    test, weights = Shards(SHARDS), champion.weights_file(reigning)
    try:
        found = inference.champion(weights, test, settings.batch, settings.corruptions)
    except (SadclError, ValueError) as error:  # ValueError: settings of a model from another version of sadcl
        found = scores.nothing(f"{reigning} is champion, but it could not be scored: {error}", test.classes)
    scores.write(OUT, found)
    if found.refused is not None:
        say(f"  {found.refused}")
        return f"no scores, so the gate will refuse to compare, in {OUT}"
    return f"scores of {reigning} on {len(found)} images in {OUT}"


if __name__ == "__main__":
    stages.run("rescore", f"{SHARDS}, {champion.FILE}", main)
