"""A CSV file, one row per photo; ``tabular`` describes the columns.

Commas, semicolons, tabs or ``|`` separate the fields: what gives the header most columns with a known name. The text is
UTF-8 or, as spreadsheets write it, UTF-16 or Windows-1252, and may begin with ``sep=;``. Columns without a name (the
index of pandas, empty columns) and blank rows are left out.
"""

import codecs
import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from sadcl import params
from sadcl.data.sources import Source, tabular
from sadcl.data.sources.columns import FILE, LABELS, SPLIT, has_no_name, names_photo, normal
from sadcl.errors import SadclError

DELIMITERS = (",", ";", "\t", "|")
LONGEST_HEADER = 1_000_000
"""Characters of the first lines that are looked at."""
BLANK_LINES = 20
"""Most lines before the header."""
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_FIX = "Save it as CSV in UTF-8"


def read_source(root: Path, settings: params.Ingest) -> Source:
    """Read the CSV files that the settings name.

    Raises:
        SadclError: a file is missing or not CSV, its header lacks a column, or a row is invalid.
    """
    return tabular.read_source(root, settings, open_rows)


def open_rows(path: Path) -> tuple[list[str], Iterator[tabular.Record]]:
    """Open a CSV file: its header, and its rows with file and line number; blank lines are skipped.

    Raises:
        SadclError: the file is missing or not CSV; while rows are read, a row has too few or many fields.
    """
    rows = raw_rows(path)
    header = _distinct(next((row for _, row in rows if any(row)), []))
    return [name for name in header if not has_no_name(name)], _records(header, rows, path)


def _distinct(header: list[str]) -> list[str]:
    """Header in which columns of labels of one name are numbered as pandas does: ``label``, ``label.1``, ..."""
    repeats: Counter[str] = Counter()
    names = []
    for name in header:
        number = repeats[name] if normal(name) in LABELS else 0
        repeats[name] += 1
        names.append(f"{name}.{number}" if number and f"{name}.{number}" not in header else name)
    return names


def _records(names: list[str], rows: Iterator[tuple[int, list[str]]], path: Path) -> Iterator[tabular.Record]:
    named = [i for i, name in enumerate(names) if not has_no_name(name)]
    shortest = named[-1] + 1 if named else 0
    for line, row in rows:
        if not any(row):
            continue
        if len(row) < shortest or any(row[len(names) :]):
            raise SadclError(
                f"The row has {len(row)} fields and the header {len(names)}",
                where=f"{path}, line {line}",
                fix="Separate labels with ; and quote a field that contains the separator",
            )
        yield f"{path}, line {line}", {names[i]: row[i] for i in named}


def raw_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and stripped fields of each row, the header among them.

    Raises:
        SadclError: the file is missing, can't be read, or is not CSV.
    """
    try:
        with open(path, encoding=encoding(path), newline="") as file:
            declared = _separator_line(file.readline(LONGEST_HEADER))
            start = file.tell() if declared else 0
            file.seek(start)
            header = _header(file)
            file.seek(start)
            reader = csv.reader(file, strict=True, delimiter=declared or delimiter(header), skipinitialspace=True)
            begun = False
            for row in reader:
                begun |= not _is_comment(row)
                if not begun:
                    continue
                yield reader.line_num + bool(declared), [cell.strip() for cell in row]
    except FileNotFoundError:
        raise SadclError("The file is missing", where=path, fix="Check ingest.annotations") from None
    except OSError as error:
        raise SadclError(f"The file can't be read: {error.strerror}", where=path, fix="Check the name") from None
    except (csv.Error, UnicodeError) as error:
        raise SadclError(f"The file is not CSV in UTF-8: {error}", where=path, fix=_FIX) from None


def header_below(path: Path) -> tuple[int, list[str]] | None:
    """Line number and names of a header with other rows above it; None if the first row may be the header.

    It is the row before the first one that names a photo file, or one with usual names of columns.
    """
    try:
        with open(path, encoding=encoding(path), newline=None) as file:
            lines = [file.readline(LONGEST_HEADER) for _ in range(BLANK_LINES)]
    except (OSError, UnicodeError):  # its reader reports it
        return None
    rows = [(number, _fields(line)) for number, line in enumerate(lines, start=1) if not _separator_line(line)]
    rows = [(number, row) for number, row in rows if any(row) and not _is_comment(row)]
    if not rows or any(map(names_photo, rows[0][1])) or any(normal(name) in FILE for name in rows[0][1]):
        return None
    with_photo = next((i for i, (_, row) in enumerate(rows) if any(map(names_photo, row))), 0)
    usual = (i for i, (_, row) in enumerate(rows) if len({*map(normal, row)} & {*FILE, *LABELS, *SPLIT}) > 1)
    header = with_photo - 1 if with_photo else next(usual, 0)
    return rows[header] if header > 0 and len(rows[header][1]) > 1 else None


def _fields(line: str) -> list[str]:
    try:
        row = next(csv.reader([line], delimiter=delimiter(line), skipinitialspace=True), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in row]


def encoding(path: Path) -> str:
    """Encoding of a text file: by its byte order mark, else UTF-8, else Windows-1252.

    Raises:
        OSError: the file can't be read.
        UnicodeError: it is neither.
    """
    with open(path, "rb") as file:
        start = file.read(4096)
        for mark, name in _MARKS:
            if start.startswith(mark):
                return name
        if b"\0" in start:  # without a mark, every second byte of Latin text is zero
            return "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
        for name in ("utf-8", "cp1252"):
            file.seek(0)
            decoder = codecs.getincrementaldecoder(name)()
            try:
                while block := file.read(1 << 20):
                    decoder.decode(block)
                decoder.decode(b"", final=True)
            except UnicodeDecodeError as error:
                problem = error
            else:
                return name
        raise problem


def delimiter(header: str) -> str:
    """Separator of fields that gives a header the most columns with a usual name, then the most columns."""
    usual = {*FILE, *LABELS, *SPLIT}

    def score(mark: str) -> tuple[int, int]:
        try:
            names = next(csv.reader([header], delimiter=mark, skipinitialspace=True), [])
        except csv.Error:
            return 0, 0
        return sum(normal(name) in usual for name in names), len(names)

    return max(DELIMITERS, key=score)


def _header(file: TextIO) -> str:
    """First line with text, among the first ones."""
    lines = (file.readline(LONGEST_HEADER) for _ in range(BLANK_LINES))
    return next((line for line in lines if any(map(str.isalnum, line)) and not _is_comment([line])), "")


def _is_comment(row: list[str]) -> bool:
    """Whether a row before the header is a remark such as ``# exported by hand``."""
    return len(row) == 1 and row[0].startswith("#") and not any(mark in row[0] for mark in DELIMITERS)


def _separator_line(line: str) -> str:
    """Separator that a first line ``sep=;`` names for Excel; empty if it is another line."""
    word = line.strip("\r\n\"' ").lower()
    return word[4:] or "\t" if word.startswith("sep=") and len(word) <= 5 else ""
