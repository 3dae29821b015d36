"""The one exception family: what happened, where, and what to do about it."""


class SadclError(Exception):
    """Something a person can mend; shown as one or two sentences, without a traceback.

    Args:
        what: what happened, without a full stop at the end.
        where: the file, row, rule or setting that it concerns.
        fix: what to do next, as a sentence without a full stop.
    """

    def __init__(self, what: str, *, where: object = None, fix: str = "") -> None:
        self.what = what
        self.where = where
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where is not None else ""
        advice = f" {self.fix}." if self.fix else ""
        said = f"{self.what}{place}.{advice}"
        return said.encode("utf-8", "backslashreplace").decode()  # halves of characters can't be printed
