"""The exception of all user errors: what happened, where, and what to do about it."""

import re
from pathlib import Path


class SadclError(Exception):
    """An error that a person can fix; commands print it as one or two sentences, without a traceback.

    Args:
        what: what happened, a sentence without a full stop.
        where: the file, row, rule or setting concerned.
        fix: what to do next, a sentence without a full stop.
    """

    def __init__(self, what: str, *, where: object = None, fix: str = "") -> None:
        self.what = what
        # "(.)" tells nobody which folder
        self.where = where.resolve() if isinstance(where, Path) and where == Path(".") else where
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        location = f" ({self.where})" if self.where is not None else ""
        advice = f" {self.fix}." if self.fix else ""
        message = f"{self.what}{location}.{advice}"
        # libraries' reasons may have several lines
        line = re.sub(r"\s*[\r\n]\s*", " ", message)
        return line.encode("utf-8", "backslashreplace").decode()  # a terminal can't print lone surrogates


def first_line(error: Exception) -> str:
    """First line of a library's message, without its full stop; the error's type where the message is empty."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:")[:300] if lines else type(error).__name__
