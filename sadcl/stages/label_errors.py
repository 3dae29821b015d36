"""Stage ``label_errors``: labels that are probably missing or wrong, from scores of photos not trained on."""

from sadcl.data import table
from sadcl.evaluation import label_errors, scores
from sadcl.layout import LABEL_ERRORS, SCORES, SELECT_SCORES, TABLE
from sadcl.names import counted

READS = f"{SCORES}, {SELECT_SCORES}, {TABLE}"


def main() -> str:
    """Write the list of suspected labels, the most certain first."""
    frame = table.read_table(TABLE).frame
    photos = dict(zip(frame["image_id"], zip(frame["file"], frame["split"], strict=True), strict=True))
    suspects = label_errors.list_suspects(
        [scores.read_scores(SCORES), scores.read_scores(SELECT_SCORES)], "sadcl", photos
    )
    label_errors.write_label_errors(LABEL_ERRORS, suspects)
    missing = sum(suspect["verdict"] == label_errors.MISSING for suspect in suspects)
    return (
        f"{counted(missing, 'label')} {'is' if missing == 1 else 'are'} probably missing and "
        f"{len(suspects) - missing:,} probably wrong; list "
        f"in {LABEL_ERRORS}"
    )
