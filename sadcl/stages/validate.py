"""Great Expectations says whether the data may pass."""

from pathlib import Path

from sadcl import files, params, stages
from sadcl.data import table
from sadcl.data.validation import validator
from sadcl.errors import SadclError

TABLE, ACCEPTED = Path("data/table/annotations.parquet"), Path("data/accepted.json")
OUT, DOCS = Path("reports/validation.json"), Path("reports/data_docs")


def main() -> str:
    """Write the result and the Data Docs; stop the line when a rule is broken."""
    accepted = files.read_json(ACCEPTED, fix="Write `null` into it, or run `sadcl data accept`")
    result = validator.validate(table.read(TABLE), params.load("validate").validate_, accepted, DOCS)
    files.write_json(OUT, result)
    if not result["passed"]:
        fix = f"See {DOCS}/index.html; `sadcl data report` shows the photos"
        raise SadclError(" ".join(validator.sentences(result)).rstrip("."), where=OUT, fix=fix)
    judged = [rule for rule in result["rules"] if rule["status"] != "not applicable"]
    return f"{len(judged)} rules hold ({len(result['rules']) - len(judged)} not applicable); Data Docs in {DOCS}"


if __name__ == "__main__":
    stages.run("validate", f"{TABLE}, {ACCEPTED}", main)
