"""Stage ``rescore``: the champion's scores on the present test images."""

from sadcl import params
from sadcl.errors import SadclError
from sadcl.evaluation import scores
from sadcl.evaluation.gate import champion
from sadcl.layout import CHAMPION, CHAMPION_SCORES, TEST_SHARDS
from sadcl.progress import say

READS = f"{TEST_SHARDS}, {CHAMPION}"


def main() -> str:
    """Score the champion; where it can't be scored, write the reason, which the gate repeats.

    Missing or damaged weights stop the stage instead: after their return nothing else would make it stale.
    """
    settings, current = params.load("evaluate").evaluate, champion.read_champion()
    if current is None:
        scores.write_scores(CHAMPION_SCORES, scores.empty_scores())
        return f"no champion yet, so no scores in {CHAMPION_SCORES}"
    # torch only where there is something to score
    from sadcl.batch import computing
    from sadcl.data.shards.reader import Shards
    from sadcl.evaluation import inference
    from sadcl.evaluation.passes import NotComputedError

    test, weights = Shards(TEST_SHARDS), champion.weights_file(current)
    with computing.chosen() as compute:
        try:
            scored = inference.score_champion(weights, test, settings.batch, settings.corruptions, compute)
        except NotComputedError:
            raise
        except SadclError as error:
            scored = scores.empty_scores(f"{current} is champion, but can't be scored: {error}", test.classes)
        scores.write_scores(CHAMPION_SCORES, scored)
    if scored.refused is not None:
        say(f"  {scored.refused}")
        return f"no scores, so the gate will refuse to compare, in {CHAMPION_SCORES}"
    return f"scores of {current} on {len(scored)} images in {CHAMPION_SCORES}"
