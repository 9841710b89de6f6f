"""ReXrank's contexts, in the ways that its files write them; every text here is made up."""

import pytest

from libra_bench.data.contexts import sections

CASES = {
    # Nothing is told of the indication; None is what is told of the comparison.
    "Age:77.0.Gender:F.Indication:nanComparison: None.": {
        "age": "77",
        "sex": "F",
        "comparison": "None.",
    },
    "Age:20-30.Gender:F.Indication: History: cough.Comparison: None.": {
        "age": "20-30",
        "sex": "F",
        "history": "cough.",
        "comparison": "None.",
    },
    "Clinical History: cough. Comparison: none.": {"history": "cough.", "comparison": "none."},
    "Indication: dyspnea, comparison: last film. Comparison: None.": {
        "indication": "dyspnea, comparison: last film.",
        "comparison": "None.",
    },
    "Indication: Chest pain, dyspnea Comparison: None.": {
        "indication": "Chest pain, dyspnea",
        "comparison": "None.",
    },
    "cough": {"indication": "cough"},
    "History: a Indication: b": {"history": "a", "indication": "b"},
    "<context>Age:50-60.Gender:M.Indication: ___-year-old man.</context>": {
        "age": "50-60",
        "sex": "M",
        "indication": "___-year-old man.",
    },
    "Indication: r/o PNAComparison: ___": {"indication": "r/o PNA", "comparison": "___"},
    "INDICATION: x COMPARISON: y": {"indication": "x", "comparison": "y"},
    "indication: cough. comparison: none.": {"indication": "cough.", "comparison": "none."},
    "Indication: a. Indication: b.": {"indication": "a. b."},
    "Comparison: CT. Indication: x. Comparison: film.": {
        "comparison": "CT. film.",
        "indication": "x.",
    },
    "Indication: nan. Indication: b.": {"indication": "b."},
    "Age:nan.Gender:nan.Indication:nanComparison:nan": {},
    "Age:None.Gender:None.Indication:None.Comparison:None.": {
        "indication": "None.",
        "comparison": "None.",
    },
    "Gender:M.Age:3 months.Indication: fall": {"sex": "M", "age": "3 months", "indication": "fall"},
    "Age:40.0Gender:MIndication:Fever": {"age": "40", "sex": "M", "indication": "Fever"},
    "Indication: SOB. Age: 50. Sex: Male": {"indication": "SOB.", "age": "50", "sex": "Male"},
    "Age:>=90.Gender:F.Indication: x": {"age": ">=90", "sex": "F", "indication": "x"},
    "Age:20-Oct.Gender:F.Indication: x": {"age": "20-Oct", "sex": "F", "indication": "x"},
    "Age:30.Gender:intersex.Comparison: y": {"age": "30", "sex": "intersex", "comparison": "y"},
    "Age related changes. Comparison: y": {"indication": "Age related changes.", "comparison": "y"},
    "Indication: page: 4, message: x": {"indication": "page: 4, message: x"},
    "Indication: 77 year old; Reason for study: fall": {
        "indication": "77 year old; Reason for study: fall"
    },
    "Past medical history: CHF. Technique: PA.": {"history": "CHF.", "technique": "PA."},
    "Clinical\nHistory: a\n \nComparison: None.": {"history": "a", "comparison": "None."},
    "": {},
    " nan ": {},
}


@pytest.mark.parametrize("context", CASES)
def test_context(context: str) -> None:
    assert sections(context) == CASES[context]
