"""Stage ``validate``: validation of the data with Great Expectations."""

from sadcl import files, params
from sadcl.data import table
from sadcl.data.validation import validator
from sadcl.errors import SadclError
from sadcl.layout import BASELINE, DATA_DOCS, TABLE, VALIDATION
from sadcl.progress import say

READS = f"{TABLE}, {BASELINE}"


def main() -> str:
    """Validate the table; write the result and the Data Docs; stop the pipeline where a rule fails."""
    baseline = files.read_json(BASELINE, fix="Write `null` into it, or run `sadcl data accept`")
    result = validator.validate(table.read_table(TABLE), params.load("validate").validate_, baseline, DATA_DOCS)
    files.write_json(VALIDATION, result)
    if not result["passed"]:
        fix = f"See {DATA_DOCS}/index.html; `sadcl data report` shows the photos"
        reasons = [*validator.sentences(result), validator.unlabelled_photos(result)]
        raise SadclError(" ".join(reasons).rstrip(". "), where=VALIDATION, fix=fix)
    for sentence in validator.sentences(result, "warning"):
        say(f"  warning: {sentence}")
    if baseline is None:
        say("  There is no accepted data to compare with: if the data report looks right, run `sadcl data accept`")
    return f"{validator.summary(result)}; Data Docs in {DATA_DOCS}"
