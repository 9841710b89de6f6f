"""Columns that split a cohort, whatever kind of values a file gives them."""

import math

import numpy as np
import pytest

from libra_bench.metrics.rouge_l import RougeL
from libra_bench.runs.subgroups import by_subgroup, column, groups
from libra_bench.stats.clusters import by_patient


def sizes(values: list[object]) -> dict[str, int]:
    return {name: int(rows.sum()) for name, rows in groups(column(values)).items()}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False, True], {"False": 1, "True": 2}),
        ([True, None, True], {"True": 2, "unknown": 1}),
        ([30, 30, "n/a"], {"30": 2, "unknown": 1}),
        ([30, math.nan], {"30": 1, "unknown": 1}),
        (["30", "7", None], {"7": 1, "30": 1, "unknown": 1}),
        ([1.5, 2.0, math.inf], {"1.5": 1, "2.0": 1, "inf": 1}),
        ([30, "later"], {"30": 1, "later": 1}),
        (["PA", "AP", "n/a"], {"AP": 1, "PA": 1, "n/a": 1}),
        ([["PA"], ["PA", "LATERAL"]], {"PA": 1, "PA, LATERAL": 1}),
        ([{"a": 1}, {"a": 1}], {}),
        ([1, 1], {}),
        ([None, None], {}),
        ([], {}),
        ([True, 1, "x"], {"1": 1, "True": 1, "x": 1}),
        ([10**400, 2], {str(10**400): 1, "2": 1}),
    ],
)
def test_values_of_any_kind_are_groups(values: list[object], expected: dict[str, int]) -> None:
    assert sizes(values) == expected


def test_many_numbers_become_quarters() -> None:
    assert sizes(list(range(1, 9))) == {"1 to 2": 2, "3 to 4": 2, "5 to 6": 2, "7 to 8": 2}


def test_a_range_of_one_value_is_that_value() -> None:
    # Quarters of nine values end at 0, 5 and 7.
    assert sizes([0, 0, 0, 0, 5, 6, 7, 8, 9]) == {"0": 4, "5": 1, "6 to 7": 2, "8 to 9": 2}


def test_small_groups_are_counted_and_not_scored() -> None:
    import pandas as pd

    metric = RougeL()
    texts = ["clear lungs"] * 12
    report = metric.score(texts, texts)
    frame = pd.DataFrame({"view": column(["PA"] * 6 + ["AP"] * 2 + [None] * 4)})
    found = by_subgroup(
        frame,
        by_patient([str(n // 2) for n in range(12)], [str(n) for n in range(12)]),
        {metric.name: report},
        [metric],
        ["view"],
        trials=20,
        seed=0,
        level=0.95,
    )
    (row,) = found.rows
    assert (row["value"], row["n"], row["clusters"], row["unit"]) == ("PA", 6, 3, "patients")
    assert row["metrics"]["rouge_l"]["value"] == 100.0
    assert found.notes == [
        "subgroups of fewer than 5 reports are not shown: view AP (2), unknown (4)"
    ]


def test_groups_do_not_overlap_and_miss_no_row() -> None:
    rng = np.random.default_rng(0)
    values = [None if n % 7 == 0 else float(v) for n, v in enumerate(rng.integers(0, 900, 200))]
    total = sum(
        rows.astype(int) for rows in groups(column(values).rename("days_to_prior")).values()
    )
    assert (total == 1).all()
