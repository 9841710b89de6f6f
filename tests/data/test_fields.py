"""What an example tells beside the evaluation format."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from libra_bench.core.records import Example
from libra_bench.data.corpora import load
from libra_bench.data.mimic import LABELS_FILE, SPLIT_FILE
from libra_bench.data.pairing import POLICIES
from libra_bench.data.synthetic.writer import LATENT_FILE, synthesize


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields") / "cohort"
    synthesize(folder, 24, 3)
    return folder


def read(cohort: Path) -> list[Example]:
    return list(load(f"mimic-cxr:{cohort}", split="train").examples)


def test_whether_a_study_is_abnormal_and_how_old_its_prior_is(cohort: Path) -> None:
    latent = pd.read_csv(cohort / LATENT_FILE, dtype=str).set_index("study_id")
    findings = latent.drop(columns=["subject_id", "prior_study_id"]).astype(int)
    examples = read(cohort)
    assert {example.has_prior for example in examples} == {True, False}
    for example in examples:
        fields = example.model_extra or {}
        assert fields["abnormal"] == bool(findings.loc[example.study_id].any())
        assert ("days_to_prior" in fields) == example.has_prior
        assert fields.get("days_to_prior", 1) > 0


def test_a_split_without_images_has_no_examples(cohort: Path, tmp_path: Path) -> None:
    """Of no rows at all pandas forgets that the days between two studies are times."""
    shutil.copytree(cohort, tmp_path / "one")
    table = tmp_path / "one" / SPLIT_FILE
    pd.read_csv(table, dtype=str).assign(split="train").to_csv(table, index=False)
    for policy in POLICIES:
        empty = load(f"mimic-cxr:{tmp_path / 'one'}", split="test", prior_policy=policy)
        assert (empty.examples, empty.dropped) == ([], [])
    assert load(f"mimic-cxr:{tmp_path / 'one'}", split="train").examples


def test_without_labels_nobody_knows(cohort: Path, tmp_path: Path) -> None:
    shutil.copytree(cohort, tmp_path / "bare")
    (tmp_path / "bare" / LABELS_FILE).unlink()
    examples = read(tmp_path / "bare")
    assert examples and all("abnormal" not in (one.model_extra or {}) for one in examples)
