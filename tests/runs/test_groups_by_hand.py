"""Groups of reports at their edges, and the texts that are compared, worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from libra_bench.core.records import Example, Prediction
from libra_bench.metrics.rouge_l import RougeL
from libra_bench.runs.forms import labelled, pair, used
from libra_bench.runs.subgroups import by_subgroup, column, groups
from libra_bench.stats.clusters import by_patient


def test_days_to_the_prior_are_a_day_a_week_a_month_a_year() -> None:
    days = column([0, 1, 2, 7, 8, 30, 31, 365, 366, 1000]).rename("days_to_prior")
    found = {name: np.flatnonzero(rows).tolist() for name, rows in groups(days).items()}
    assert found == {
        "0 to 1": [0, 1],
        "2 to 7": [2, 3],
        "8 to 30": [4, 5],
        "31 to 365": [6, 7],
        "366 to 1000": [8, 9],
    }
    # Later than a day, and all within a month: no group is empty, none is missing.
    few = column([2, 3, 4, 5, 6, 8, 29]).rename("days_to_prior")
    assert {name: int(rows.sum()) for name, rows in groups(few).items()} == {
        "2 to 6": 5,
        "8 to 29": 2,
    }


def test_five_reports_are_a_group_and_four_are_none() -> None:
    metric = RougeL()
    texts = ["clear lungs"] * 9
    report = metric.score(["clear lungs"] * 5 + ["heart"] * 4, texts)
    found = by_subgroup(
        pd.DataFrame({"view": column(["PA"] * 5 + ["AP"] * 4)}),
        by_patient([None] * 9, [str(number) for number in range(9)]),
        {metric.name: report},
        [metric],
        ["view"],
        trials=10,
        seed=0,
        level=0.95,
    )
    assert [(row["value"], row["n"], row["unit"]) for row in found.rows] == [("PA", 5, "reports")]
    assert found.rows[0]["metrics"]["rouge_l"]["value"] == 100
    assert "view AP (4)" in found.notes[0]


OWN = {"section_findings": "Clear.", "report": "Findings: Clear. Impression: Normal."}


def asked(reference: str = "Clear.", *, rexrank: bool = True) -> Example:
    more = {"rexrank": OWN} if rexrank else {}
    return Example.model_validate({"question_id": "1", "text": "?", "reference": reference, **more})


def said(text: str, **more: str) -> Prediction:
    return Prediction.model_validate({"question_id": "1", "text": text, **more})


@pytest.mark.parametrize(
    ("example", "prediction", "profile", "expected"),
    [
        # Another corpus knows no labels, whatever the profile.
        (asked(rexrank=False), said("Fine."), "rexrank", ("Fine.", "Clear.")),
        (
            asked(rexrank=False),
            said("Findings: a", form="rexrank"),
            "libra",
            ("Findings: a", "Clear."),
        ),
        # The leaderboard's profile labels both sides, a submission as it came.
        (asked(), said("Fine."), "rexrank", ("Findings: Fine.", "Findings: Clear.")),
        (asked(), said("Fine.", form="rexrank"), "rexrank", ("Fine.", "Findings: Clear.")),
        (asked(), said(""), "rexrank", ("", "Findings: Clear.")),
        # Its reports track has whole reports for references, which begin so already.
        (asked(OWN["report"]), said("Fine."), "rexrank", ("Findings: Fine.", OWN["report"])),
        # Any other profile compares plain texts: only what was submitted loses its label.
        (asked(), said("Findings: Fine."), "libra", ("Findings: Fine.", "Clear.")),
        (asked(), said("Findings: Fine.", form="rexrank"), "libra", ("Fine.", "Clear.")),
        (
            asked(OWN["report"]),
            said("Findings: a", form="rexrank"),
            "libra",
            ("Findings: a", OWN["report"]),
        ),
        # What failed is no text, and no reference is none.
        (asked(), said("Fine.", status="failed", error="x"), "rexrank", (None, "Findings: Clear.")),
        (asked(""), said("Fine."), "libra", ("Fine.", None)),
    ],
)
def test_texts_that_are_compared(
    example: Example, prediction: Prediction, profile: str, expected: tuple[str | None, str | None]
) -> None:
    assert pair(example, prediction, profile) == expected
    assert used(example, profile) is (profile == "rexrank" and "rexrank" in example.model_extra)


def test_labels_are_put_on_once() -> None:
    assert labelled("a") == "Findings: a"
    assert [labelled(text) for text in ("Findings: a", "\n Findings:a", "", " \n")] == [
        "Findings: a",
        "\n Findings:a",
        "",
        " \n",
    ]
