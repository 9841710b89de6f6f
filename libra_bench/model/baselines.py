"""Text-only baselines: the floor under every table.

They see no image. What a model scores above them is what it gained from looking.
"""

from __future__ import annotations

from collections.abc import Sequence

from libra_bench.core.errors import InputError
from libra_bench.core.identity import text_hash
from libra_bench.core.records import Example

NORMAL_FINDINGS = (
    "The lungs are clear without focal consolidation, pleural effusion or pneumothorax. "
    "The heart size is normal. The mediastinal and hilar contours are unremarkable. "
    "No acute osseous abnormality is seen."
)


class NormalTemplate:
    """Answers every study with the same normal report."""

    model_id = "normal-template"

    def answer(self, examples: Sequence[Example]) -> list[str]:
        """One text an example."""
        return [NORMAL_FINDINGS for _ in examples]


class IndicationRetrieval:
    """Answers with the findings of the training report whose indication is nearest.

    Nearness is the cosine of TF-IDF vectors (scikit-learn; words and word pairs, logarithmic
    term frequency); among equals the first report of the corpus wins. An indication that shares
    no word with the corpus gets the corpus' most typical findings, those nearest to the mean of
    all.

    Args:
        corpus: reports to choose from; those without findings or indication are left out.
        exclude: patients who must not be answered with a report of their own.

    Raises:
        InputError: nothing is left to choose from.
    """

    model_id = "indication-retrieval"

    def __init__(self, corpus: Sequence[Example], exclude: Sequence[Example]) -> None:
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer

        forbidden = {patient_of(example) for example in exclude}
        chosen = [
            one
            for one in corpus
            if one.reference.strip() and indication_of(one) and patient_of(one) not in forbidden
        ]
        if not chosen:
            raise InputError(
                "the retrieval corpus has no report with both findings and indication "
                "from patients outside the evaluated set"
            )
        self.size = len(chosen)
        self._findings = [one.reference.strip() for one in chosen]
        self.content_hash = text_hash(*map(indication_of, chosen), *self._findings)
        self._vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        self._index = self._vectorizer.fit_transform([indication_of(one) for one in chosen])
        findings = TfidfVectorizer(sublinear_tf=True).fit_transform(self._findings)
        mean = np.asarray(findings.mean(axis=0)).ravel()
        self._typical = int(np.argmax(findings @ mean))

    def answer(self, examples: Sequence[Example]) -> list[str]:
        """One text an example."""
        import numpy as np

        queries = self._vectorizer.transform([indication_of(one) for one in examples])
        likeness = (queries @ self._index.T).toarray()
        nearest = np.where(likeness.max(axis=1) > 0, likeness.argmax(axis=1), self._typical)
        return [self._findings[row] for row in nearest]


def indication_of(example: Example) -> str:
    """Why the study was made: its indication, else its history, else its whole context."""
    for name in ("indication", "history", "context"):
        if text := example.extra(name).strip():
            return text
    return ""


def patient_of(example: Example) -> str:
    """The patient as far as known, else the study itself."""
    return example.subject_id or example.study_id or example.question_id
