"""The ablation of the prior: what is compared with what, and what is found."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from libra_bench import ablation
from libra_bench.ablation import NONE, TRUE, WRONG, ablate, conditions
from libra_bench.cli.program import app
from libra_bench.core.errors import InputError
from libra_bench.core.records import Example, Prediction
from libra_bench.data.cohort import Cohort
from libra_bench.generation.factory import SystemSettings


def study(number: int, patient: int, *images: str) -> Example:
    return Example(
        question_id=f"q{number}",
        image=list(images),
        text="?",
        reference="The effusion has increased.",
        subject_id=f"p{patient}",
    )


EXAMPLES = [
    study(0, 0, "a0"),
    *(study(n, n % 5, f"now{n}", f"before{n}") for n in range(1, 31)),
]


def test_each_condition_changes_the_prior_alone() -> None:
    found = conditions(EXAMPLES)
    assert list(found) == [TRUE, NONE, WRONG]
    assert found[TRUE] == EXAMPLES[1:]  # A study without a prior has none to take away.
    owner = {one.image[1]: one.subject_id for one in EXAMPLES[1:]}
    for true, none, wrong in zip(*found.values(), strict=True):
        assert none.image == [true.image[0]] and wrong.image[0] == true.image[0]
        assert owner[wrong.image[1]] != true.subject_id
        assert (none.text, none.question_id) == (wrong.text, wrong.question_id)
    assert conditions(EXAMPLES) == found
    with pytest.raises(InputError, match="two patients"):
        conditions(EXAMPLES[:2])


class Seeing:
    """A system that says the truth where it is shown its own prior."""

    model_id, trained, chunk, metadata = "seeing", True, 8, {"seen": True}

    def check(self, examples: object) -> None: ...

    def generate(self, examples: list[Example], emit: object) -> None:
        for one in examples:
            own = one.image[1:] == [one.image[0].replace("now", "before")]
            text = "The effusion has increased." if own else "The effusion is stable."
            made = {"question_id": one.question_id, "text": text, "metadata": self.metadata}
            emit(Prediction.model_validate(made))  # type: ignore[operator]


def test_a_system_that_looks_at_the_prior_is_told_from_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ablation, "create_system", lambda settings, cohort: Seeing())
    cohort = Cohort("c", "c", EXAMPLES)
    rows = ablate(SystemSettings(), cohort, tmp_path, trials=200)
    found = {(row.condition, row.figure): row for row in rows}
    assert found[TRUE, "temporal_f1"].value == 100
    for name in (NONE, WRONG):
        row = found[name, "temporal_f1"]
        assert (row.value, row.difference, row.n) == (0, 100, 30)
        assert row.difference_low == 100 and row.p < 0.2
    record = json.loads((tmp_path / "ablation.json").read_text())
    assert record["rows"][0]["difference"] is None
    assert (record["run"]["studies"], record["run"]["patients"]) == (30, 5)
    page = (tmp_path / "ablation.md").read_text()
    assert "| true prior | 100.0 (100.0 – 100.0) |" in page.replace("BLEU-4", "")
    with pytest.raises(InputError, match="--resume"):
        ablate(SystemSettings(), cohort, tmp_path, trials=200)
    assert ablate(SystemSettings(), cohort, tmp_path, trials=200, resume=True)[0].n == 30


def test_failed_reports_leave_each_figure_its_own_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of 30, 2 have no report with their own prior and 3 others none with no prior: 28 and 27 are
    behind the figures and their intervals, 25 behind the difference."""

    class Failing(Seeing):
        def generate(self, examples: list[Example], emit: object) -> None:
            for one in examples:
                number = int(one.question_id[1:])
                own = one.image[1:] == [one.image[0].replace("now", "before")]
                broken = number < 3 if own else len(one.image) == 1 and 3 <= number < 6
                if broken:
                    raise RuntimeError("no memory")
                super().generate([one], emit)

    monkeypatch.setattr(ablation, "create_system", lambda settings, cohort: Failing())
    rows = ablate(SystemSettings(), Cohort("c", "c", EXAMPLES), tmp_path, trials=50)
    found = {row.condition: row for row in rows if row.figure == "temporal_f1"}
    assert [(found[name].n, found[name].n_paired) for name in (TRUE, NONE, WRONG)] == [
        (28, 28),
        (27, 25),
        (30, 28),
    ]
    for name, value in ((TRUE, 100), (NONE, 0), (WRONG, 0)):
        row = found[name]
        assert (row.value, row.low, row.high) == (value, value, value)


def test_the_command(tmp_path: Path) -> None:
    answer = CliRunner().invoke(
        app,
        ["ablate", "--output", str(tmp_path / "out"), "--limit", "12", "--trials", "50", "--json"],
    )
    assert answer.exit_code == 0, answer.output
    rows = json.loads(answer.stdout)["rows"]
    assert {row["condition"] for row in rows} >= {TRUE, NONE, WRONG, "normal-template"}
    assert "finding_accuracy" in {row["figure"] for row in rows}
