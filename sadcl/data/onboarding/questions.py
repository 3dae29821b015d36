"""Doubtful readings of a source: a question with choices, and who answers it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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

    @property
    def meanings(self) -> str:
        """Descriptions of all answers, as one sentence."""
        return f"It may mean: {'; or '.join(text for _, text in self.choices)}"

    @property
    def advice(self) -> str:
        """How the command line decides it."""
        return f"Decide with {self.option}"


class UndecidedError(SadclError):
    """Questions stay open.

    Attributes:
        questions: all of them.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = tuple(dict.fromkeys(questions))
        only = self.questions[0]
        if len(self.questions) == 1:
            fix = f"{only.meanings}. {only.advice}, or take the first with --yes"
            super().__init__(only.problem, where=only.where, fix=fix)
            return
        numbered = (
            f"{number}. {question.problem} ({question.where}). {question.meanings}. {question.advice}"
            for number, question in enumerate(self.questions, start=1)
        )
        fix = f"{'. '.join(numbered)}. Or take the first answers with --yes"
        super().__init__(f"{len(self.questions)} questions are open", fix=fix)


Ask = Callable[[Question], str]
"""Answers a question with the value of one of its choices."""


def refuse(question: Question) -> str:
    """Answer nothing.

    Raises:
        UndecidedError: always; it names the option that decides.
    """
    raise UndecidedError([question])


def first(question: Question) -> str:
    """Answer with the most plausible choice."""
    return question.choices[0][0]


@contextmanager
def unanswered() -> Iterator[Ask]:
    """Yield a function that assumes the most plausible answers, so that a reading goes on to its next question.

    Raises:
        UndecidedError: at the end, if there was a question; in place of an error too, which an assumption can cause.
    """
    asked: list[Question] = []

    def assume(question: Question) -> str:
        asked.append(question)
        return first(question)

    try:
        yield assume
    except SadclError:
        if not asked:
            raise
    if asked:
        raise UndecidedError(asked)


@dataclass(frozen=True)
class Options:
    """Decisions of the user about a source; what is left open is detected, and asked where it is in doubt.

    Attributes:
        format: value of ``ingest.format``; empty detects it.
        separator: value of ``ingest.separator``; None infers it.
        unlabelled: what photos without labels mean; None asks where they are many.
        labels: the columns of labels; none finds them.
        slices: columns that are no classes.
        ask: answers doubtful readings; ``refuse`` lists all that are open.
    """

    format: str = ""
    separator: str | None = None
    unlabelled: Literal["negative", "unknown", "drop"] | None = None
    labels: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    ask: Ask = refuse
