"""Doubtful readings of a source: a question with choices, and who answers it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sadcl.errors import SadclError


@dataclass(frozen=True)
class Question:
    """A reading that the files alone don't decide.

    Attributes:
        problem: what is in doubt, a sentence without a full stop.
        choices: value and description of each answer; the first is the most plausible.
        option: option of the command line that decides it.
        where: the file or folder concerned.
    """

    problem: str
    choices: tuple[tuple[str, str], ...]
    option: str
    where: object = None


class UndecidedError(SadclError):
    """A question stays open."""


Ask = Callable[[Question], str]
"""Answers a question with the value of one of its choices."""


def refuse(question: Question) -> str:
    """Answer nothing.

    Raises:
        UndecidedError: always; it names the option that decides.
    """
    meanings = "; or ".join(text for _, text in question.choices)
    fix = f"It may mean: {meanings}. Decide with {question.option}, or take the first with --yes"
    raise UndecidedError(question.problem, where=question.where, fix=fix)


def first(question: Question) -> str:
    """Answer with the most plausible choice."""
    return question.choices[0][0]


@dataclass(frozen=True)
class Options:
    """Decisions of the user about a source; what is left open is detected, and asked where it is in doubt.

    Attributes:
        format: value of ``ingest.format``; empty detects it.
        separator: value of ``ingest.separator``; None infers it.
        unlabelled: what photos without labels mean; None asks where they are many.
        labels: the column of labels; empty finds it.
        slices: columns that are no classes.
        ask: answers doubtful readings.
    """

    format: str = ""
    separator: str | None = None
    unlabelled: Literal["negative", "unknown", "drop"] | None = None
    labels: str = ""
    slices: tuple[str, ...] = ()
    ask: Ask = refuse
