"""Stage ``gate``: the verdict on the model, rule by rule; a failed gate is a result, not an error."""

from sadcl import files, params
from sadcl.evaluation.gate.recheck import describe_rules, judge_project
from sadcl.layout import CHAMPION, CHAMPION_SCORES, SCORES, VERDICT
from sadcl.progress import say

READS = f"{SCORES}, {CHAMPION_SCORES}, {CHAMPION}"


def main() -> str:
    """Judge the model, print the result of each rule, and write the verdict."""
    judged = judge_project(params.load("gate", "evaluate"))
    files.write_json(VERDICT, judged)
    for line in describe_rules(judged):
        say(line)
    return f"{judged['words']} Verdict written to {VERDICT}"
