import pytest

from libra_bench.core.errors import InputError
from libra_bench.core.records import Example
from libra_bench.model.baselines import IndicationRetrieval, NormalTemplate


def report(key: str, indication: str, findings: str = "", patient: str | None = None) -> Example:
    return Example(
        question_id=key, text="", reference=findings, subject_id=patient, indication=indication
    )


CORPUS = [
    report("1", "chest pain", "Clear lungs.", "A"),
    report("2", "shortness of breath and cough", "Left effusion.", "B"),
    report("3", "positive tuberculosis test", "Clear lungs.", "C"),
    report("4", "fever", "", "D"),
    report("5", "", "Large pneumothorax.", "E"),
]


def test_the_nearest_indication_answers() -> None:
    retrieval = IndicationRetrieval(CORPUS, exclude=[])
    assert retrieval.size == 3
    answers = retrieval.answer(
        [report("x", "cough, shortness of breath"), report("y", "chest pain")]
    )
    assert answers == ["Left effusion.", "Clear lungs."]


def test_a_patient_is_never_answered_with_an_own_report() -> None:
    own = report("x", "shortness of breath and cough", patient="B")
    assert IndicationRetrieval(CORPUS, exclude=[own]).answer([own]) != ["Left effusion."]


def test_without_a_shared_word_the_most_typical_findings_answer() -> None:
    retrieval = IndicationRetrieval(CORPUS, exclude=[])
    assert retrieval.answer([report("x", "zzz"), report("y", "")]) == ["Clear lungs."] * 2


def test_an_empty_corpus_is_refused() -> None:
    with pytest.raises(InputError, match="no report"):
        IndicationRetrieval(CORPUS[:1], exclude=[report("x", "", patient="A")])


def test_template_does_not_depend_on_the_study() -> None:
    first, second = NormalTemplate().answer(CORPUS[:2])
    assert first == second
    assert "pneumothorax" in first
