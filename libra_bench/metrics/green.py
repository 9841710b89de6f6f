"""GREEN: a language model lists findings that match and errors that matter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import ClassVar, NamedTuple

from libra_bench.core.errors import MissingResourceError
from libra_bench.metrics.base import MeanMetric, Output
from libra_bench.metrics.cleaning import CLEANINGS
from libra_bench.metrics.judge import END, Judge, LocalJudge
from libra_bench.metrics.resources import gaps

MODEL = "StanfordAIMI/GREEN-RadLlama2-7b"
LONGEST = 2048
WORDS = 300
"""Words of each report that the judge is shown."""

_LETTERS = "abcdef"
_TURN = "<|assistant|>"
_EXPLANATION = "[Explanation]:"
# The form that the judge is asked to keep; one that repeats it has its answer between.
_FORM = f"{_EXPLANATION}\n    <Explanation>\n"
_LONGEST_COUNT = 4000
"""Digits that Python makes a number of."""


class Verdict(NamedTuple):
    """What the judge counted."""

    matched: int
    """Findings of the prediction that the reference has as well."""
    errors: tuple[int, ...]
    """Clinically significant errors of the six kinds (a) to (f)."""

    @property
    def score(self) -> float:
        """Matched findings by matched findings and significant errors, 0 to 1."""
        return self.matched / (self.matched + sum(self.errors)) if self.matched else 0.0


class Green(MeanMetric):
    """Mean GREEN score (Ostmeier et al., 2024): matched / (matched + significant errors).

    The judge writes an analysis in a fixed form, and its counts are read from it. A pair without
    a matched finding scores 0, and so does an analysis that cannot be read, as with the package.
    Reports are shown up to their 300th word.

    Args:
        model: a folder, or a name in the Hugging Face cache, of the judge.
        cleaning: of the texts before.
        judge: answers instead of the model, for judges that are no local model.
    """

    name: ClassVar[str] = "green"
    version: ClassVar[str] = "2"
    outputs: ClassVar[tuple[Output, ...]] = (Output("green", "GREEN"),)
    requires: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self, model: str = MODEL, cleaning: str = "none", judge: Judge | None = None
    ) -> None:
        self._judge = judge or LocalJudge("green.model", model, LONGEST, closes=True)
        self._cleaning = cleaning
        self._clean = CLEANINGS[cleaning]

    def missing(self) -> list[MissingResourceError]:
        return gaps(self._judge.check)

    def settings(self) -> Mapping[str, str]:
        return {
            "judge": self._judge.fingerprint,
            "judged": "greedy",
            "longest": str(LONGEST),
            "agg": "mean",
            "clean": self._cleaning,
        }

    def each(self, predictions: Sequence[str], references: Sequence[str]) -> Sequence[float]:
        end = self._judge.end if isinstance(self._judge, LocalJudge) else END
        prompts = [
            prompt(self._clean(reference), self._clean(prediction), end)
            for prediction, reference in zip(predictions, references, strict=True)
        ]
        return [verdict(answer).score for answer in self._judge.answer(prompts)]


@cache
def _template() -> str:
    path = resources.files("libra_bench.metrics") / "constants" / "green_prompt.txt"
    return path.read_text(encoding="utf-8")


def prompt(reference: str, prediction: str, end: str = END) -> str:
    """What the judge is asked, in the form of its training (Stanford-AIMI/GREEN).

    Args:
        end: the judge's token that ends a turn.
    """
    shown = (" ".join(text.split()[:WORDS]) for text in (reference, prediction))
    first, _, rest = _template().partition("{reference}")
    between, _, last = rest.partition("{candidate}")
    question = first + next(shown) + between + next(shown) + last
    return f"<|user|>\n{question}{end}\n{_TURN}\n{end}\n{_TURN}\n"


def verdict(answer: str) -> Verdict:
    """The counts in a judge's analysis, read as the package green_score reads them."""
    analysis = _analysis(answer)
    # Only what begins the section counts, not what begins a line.
    matched = re.match(r"\b\d+\b(?=\.)", _section(analysis, "Matched Findings"))
    errors = _section(analysis, "Clinically Significant Errors")
    lines = sorted(re.findall(r"\([a-f]\) .*", errors))
    marks: Sequence[str] = _LETTERS
    if not lines:
        lines, marks = sorted(re.findall(r"\([1-6]\) .*", errors)), "123456"
    return Verdict(
        _number(matched.group()) if matched else 0, tuple(_count(lines, mark) for mark in marks)
    )


def _analysis(answer: str) -> str:
    """What the judge says behind its last turn's explanation, without marks of the end."""
    answer = answer.rpartition(_TURN)[2]
    if _FORM in answer:
        answer = answer.split(_EXPLANATION)[1]
    else:
        answer = answer.rpartition(_EXPLANATION)[2]
    return answer.replace(END, "").replace("<unk>", "")


def _section(analysis: str, title: str) -> str:
    """A section's text, up to a blank line; nothing where it says that there is nothing."""
    found = re.search(rf"\[{title}\]:\s*(.*?)(?:\n\s*\n|\Z)", analysis, re.DOTALL)
    text = found.group(1) if found else ""
    return "" if text.startswith("No") else text


def _count(lines: Sequence[str], mark: str) -> int:
    """The number behind the last line of a kind that has one."""
    numbers = [
        re.search(r"(?<=: )\b\d+\b(?=\.)", line) for line in lines if line.startswith(f"({mark}) ")
    ]
    return next((_number(number.group()) for number in reversed(numbers) if number), 0)


def _number(digits: str) -> int:
    """A count; none that no judge can mean."""
    return int(digits) if len(digits) <= _LONGEST_COUNT else 0
