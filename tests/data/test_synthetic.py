import hashlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from libra_bench.core.errors import InputError
from libra_bench.data.images import load_image
from libra_bench.data.synthetic.course import GRADED, Findings, first_visit, next_visit
from libra_bench.data.synthetic.drawing import HEIGHT, WIDTH, Build, frontal
from libra_bench.data.synthetic.reading import accuracy, findings_of
from libra_bench.data.synthetic.wording import findings_text
from libra_bench.data.synthetic.writer import MOST_VISITS, study_of, synthesize
from libra_bench.metrics.temporal_f1 import keywords


def digest(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_a_seed_gives_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    synthesize(tmp_path / "a", 8, 5, workers=1)
    synthesize(tmp_path / "b", 8, 5, workers=2)
    synthesize(tmp_path / "c", 8, 6, workers=2)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")
    with pytest.raises(InputError, match="is not empty"):
        synthesize(tmp_path / "a", 8, 5)


def test_no_two_visits_share_a_study_id() -> None:
    visits = range(MOST_VISITS)
    numbers = [study_of(patient, visit) for patient in range(20_000) for visit in visits]
    assert len(set(numbers)) == len(numbers)
    assert all(len(number) == 8 and number.startswith("5") for number in numbers)
    # As in MIMIC-CXR, a later study may have the lower number.
    assert any(study_of(n, 1) < study_of(n, 0) for n in range(20))


def test_tables_agree_with_the_files(tmp_path: Path) -> None:
    synthesize(tmp_path / "a", 40, 1)
    split = pd.read_csv(tmp_path / "a" / "mimic-cxr-2.0.0-split.csv.gz", dtype=str)
    metadata = pd.read_csv(tmp_path / "a" / "mimic-cxr-2.0.0-metadata.csv.gz", dtype=str)
    assert split["dicom_id"].tolist() == metadata["dicom_id"].tolist()
    assert set(split["split"]) == {"train", "validate", "test"}
    stored = [*(tmp_path / "a").rglob("*.jpg"), *(tmp_path / "a").rglob("*.dcm")]
    assert sorted(file.stem for file in stored) == sorted(split["dicom_id"])
    assert {file.suffix for file in stored} == {".jpg", ".dcm"}
    assert all(load_image(file).size == (WIDTH, HEIGHT) for file in stored)
    assert metadata["ViewPosition"].isna().any()
    # Several studies of one day, as in MIMIC-CXR.
    studies = metadata.drop_duplicates("study_id")
    assert studies.duplicated(["subject_id", "StudyDate"]).any()
    assert not studies.duplicated(["subject_id", "StudyDate", "StudyTime"]).any()


def test_each_finding_shows_in_the_image() -> None:
    """Every finding changes many pixels, and each grade another number of them."""
    rng = np.random.default_rng
    build = Build.draw(rng(0))

    def drawn(findings: Findings) -> np.ndarray:
        return np.asarray(frontal(findings, build, rng(1)), dtype=int)

    clear = drawn(Findings())
    for field in fields(Findings):
        shown = [
            int((np.abs(drawn(Findings(**{field.name: grade})) - clear) > 25).sum())
            for grade in range(1, GRADED.get(field.name, 1) + 1)
        ]
        assert min(shown) > 60, field.name
        assert shown == sorted(set(shown)), field.name


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (None, Findings(effusion_left=2), set()),
        (Findings(), Findings(effusion_left=2), {"new"}),
        (Findings(effusion_left=1), Findings(effusion_left=2), {"increased"}),
        (Findings(effusion_left=2), Findings(effusion_left=3), {"increasing"}),
        (Findings(effusion_left=2), Findings(effusion_left=1), {"decreased"}),
        (Findings(effusion_left=2), Findings(effusion_left=2), {"unchanged"}),
        (Findings(effusion_left=2), Findings(), {"resolved"}),
        (Findings(opacity_right=2), Findings(opacity_right=3), {"worsening"}),
        (Findings(pneumothorax_left=2), Findings(pneumothorax_left=1), {"smaller"}),
        (Findings(cardiomegaly=1), Findings(cardiomegaly=2), {"bigger"}),
        (Findings(tube=1), Findings(), {"removal"}),
        (Findings(), Findings(), {"change"}),
    ],
)
def test_the_change_alone_decides_the_temporal_keywords(
    before: Findings | None, now: Findings, words: set[str]
) -> None:
    texts = {findings_text(now, before, np.random.default_rng(seed)) for seed in range(8)}
    assert len(texts) > 1
    assert all(keywords(text.lower()) == words for text in texts)


def course(patients: int) -> list[tuple[Findings, Findings | None]]:
    """Visits, each with the one before."""
    found: list[tuple[Findings, Findings | None]] = []
    for patient in range(patients):
        rng = np.random.default_rng(patient)
        before, now = None, first_visit(rng)
        for _ in range(4):
            found.append((now, before))
            before, now = now, next_visit(now, rng)
    return found


def test_reports_use_most_words_of_change() -> None:
    said = set()
    for now, before in course(300):
        said |= keywords(findings_text(now, before, np.random.default_rng(1)).lower())
    assert len(said) >= 26, sorted(said)


def test_findings_are_read_back_from_the_text() -> None:
    for number, (now, before) in enumerate(course(150)):
        text = findings_text(now, before, np.random.default_rng(number))
        assert findings_of(text) == now, text
        assert accuracy(findings_of(text), now) == 1
    assert accuracy(Findings(), Findings(tube=1, nodule=2)) == pytest.approx(0.8)
    assert findings_of("") == Findings()


def test_findings_come_and_go() -> None:
    rng = np.random.default_rng(0)
    state, seen = Findings(), set()
    for _ in range(300):
        following = next_visit(state, rng)
        for name in GRADED:
            step = getattr(following, name) - getattr(state, name)
            seen.add((step > 0) - (step < 0))
            assert 0 <= getattr(following, name) <= GRADED[name]
        state = following
    assert seen == {-1, 0, 1}


def test_a_seed_is_no_negative_number(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--seed -1"):
        synthesize(tmp_path / "cohort", 4, -1)
    assert not (tmp_path / "cohort").exists()
