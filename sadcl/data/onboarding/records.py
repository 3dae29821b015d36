"""Labels of JSON records: what separates several labels in one text."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sadcl.data.onboarding.questions import Options
from sadcl.data.onboarding.separators import POSSIBLE, USUAL, Inference, contradiction, infer_separator, parts
from sadcl.data.onboarding.tables import DISTINCT, Understanding, decide_separator, separator_note
from sadcl.data.sources import jsonl
from sadcl.data.sources.json_table import LABELS, TAGS


def understand_records(paths: Sequence[Path], root: Path, options: Options) -> Understanding:
    """Decide about the separator of labels in one text; classes of ``dataset_info`` leave no doubt.

    Args:
        paths: files of the formats ``json`` or ``jsonl``.
        root: the source's folder.
        options: what the user has decided, and who answers the rest.

    Raises:
        SadclError: a file is damaged, or a question stays open.
    """
    if options.separator is None and any(jsonl.class_names(folder) for folder in (root, *(p.parent for p in paths))):
        return Understanding()
    cells, names = Counter[str](), set[str]()
    for path in paths:
        for text, is_label in _texts(path):
            if is_label:
                names.add(text)
                if any(mark in text for mark in (*USUAL, *POSSIBLE)):
                    continue
            if text in cells or len(cells) < DISTINCT:
                cells[text] += 1
    inferred = infer_separator(cells)
    marks = [mark for mark in inferred.choices if any(len(parts(name, mark)) > 1 for name in names)]
    if marks:
        whole = all(text in names or len(parts(text, mark)) == 1 for text in cells for mark in marks)
        inferred = Inference(("",) if whole else ("", *marks), (0, inferred.cells[1]))
    elif options.separator is None and not inferred.cells[0] and len(inferred.choices) == 1:
        return Understanding()
    separator = decide_separator(inferred, cells, paths[0], options)
    attention = contradiction(separator, cells) if options.separator is not None else ""
    return Understanding(
        {"separator": separator} if separator != ";" else {},
        tuple(separator_note(separator, inferred)),
        attention=(attention,) if attention else (),
    )


def _texts(path: Path) -> Iterator[tuple[str, bool]]:
    """Texts of labels, and whether each is one of several in a list, and so one label; others may hold several."""
    for _, record in jsonl.records(path):
        value: Any = jsonl.label_text(next((record[key] for key in (*LABELS, *TAGS) if key in record), None))
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                yield item.strip(), isinstance(value, list)
