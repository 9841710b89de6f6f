import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.data.contexts import sections as context_sections
from libra_bench.data.corpora import NoSplitsError, load
from libra_bench.data.prompts import question

STUDY = {
    "key_image_path": "CXR9_IM-1/0.png",
    "image_path": ["CXR9_IM-1/0.png"],
    "report": "Findings: Clear. Impression: Normal.",
    "section_findings": "Clear.",
    "section_impression": "Normal.",
    "split": "test",
    "context": "Indication: Chest pain. Comparison: None.",
}


def rexrank(path: Path, studies: object) -> str:
    path.write_text(json.dumps(studies))
    return f"rexrank:{path}"


def test_question_is_libras() -> None:
    assert question({}) == "Provide a detailed description of the findings in the radiology image."
    assert question({"comparison": "none.", "indication": "chest\n pain."}) == (
        "Provide a detailed description of the findings in the radiology image. "
        "Following clinical context: Indication: chest pain. Comparison: none."
    )


def test_rexrank_study(tmp_path: Path) -> None:
    cohort = load(rexrank(tmp_path / "x.json", {"CXR9_IM-1": STUDY}))
    (example,) = cohort.examples
    assert (example.subject_id, example.study_id) == ("CXR9", "CXR9_IM-1")
    assert example.reference == "Clear."
    assert example.text.endswith("Indication: Chest pain. Comparison: None.")
    assert (example.model_extra or {})["rexrank"] == STUDY
    (impression,) = load(f"rexrank:{tmp_path / 'x.json'}", section="impression").examples
    assert impression.reference == "Normal."


def test_rexrank_nan_is_dropped_with_its_reason(tmp_path: Path) -> None:
    nan = float("nan")
    empty = {**STUDY, "section_findings": nan, "context": nan}
    cohort = load(rexrank(tmp_path / "x.json", {"a_1": STUDY, "b_1": empty}))
    assert [one.question_id for one in cohort.examples] == ["a_1"]
    assert [(one.id, one.reason) for one in cohort.dropped] == [("b_1", "no findings")]


def test_rexrank_without_an_image_and_of_another_split(tmp_path: Path) -> None:
    studies = {"a_1": STUDY, "b_1": {**STUDY, "key_image_path": float("nan")}}
    cohort = load(rexrank(tmp_path / "x.json", studies), split="validate")
    assert [(one.id, one.reason) for one in cohort.dropped] == [("b_1", "no key_image_path")]
    assert cohort.settings["split"] == "test"
    assert any("its split is test, not validate" in note for note in cohort.notes)


def test_rexrank_of_another_form_names_the_studies(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="study 'a': no key_image_path"):
        load(rexrank(tmp_path / "x.json", {"a": {"section_findings": "x"}}))
    with pytest.raises(InputError, match="was expected"):
        load(rexrank(tmp_path / "x.json", [1]))


def test_context_headers() -> None:
    assert context_sections("cough") == {"indication": "cough"}
    assert context_sections("History: a Indication: b") == {"history": "a", "indication": "b"}


def test_real_corpora(public_data: Path) -> None:
    test = load(f"rexrank:{public_data / 'rexrank' / 'ReXRank_IUXray_test.json'}")
    openi = load(f"openi:{public_data / 'openi' / 'NLMCXR_reports.tgz'}")
    assert len(test.examples) == 590
    assert len(openi.examples) + len(openi.dropped) == 3955
    # Every study of the test set is a report of Open-i under its own uid.
    assert {one.subject_id for one in test.examples} <= {
        *(one.question_id for one in openi.examples),
        *(one.id for one in openi.dropped),
    }


XML = """<eCitation><uId id="CXR{n}"/><Abstract>
<AbstractText Label="INDICATION">Pain</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText></Abstract></eCitation>"""


def test_openi_folder_and_archive(tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    for number, findings in ((10, "Clear."), (2, "Effusion."), (3, "")):
        (folder / f"{number}.xml").write_text(XML.format(n=number, findings=findings))
    with tarfile.open(tmp_path / "r.tgz", "w:gz") as archive:
        archive.add(folder, "reports")
    cohorts = [load(f"openi:{tmp_path / name}") for name in ("reports", "r.tgz")]
    for cohort in cohorts:
        assert [one.question_id for one in cohort.examples] == ["CXR2", "CXR10"]
        assert [one.id for one in cohort.dropped] == ["CXR3"]
    (folder / "4.xml").write_text("<broken")
    with pytest.raises(InputError, match=r"4\.xml: not XML"):
        load(f"openi:{folder}")


def test_jsonl_split_and_prior_policy(tmp_path: Path) -> None:
    rows = [
        {"question_id": 1, "text": "q", "image": ["a.png", "b.png"], "split": "test"},
        {"question_id": 2, "text": "q", "image": ["c.png"], "split": "train"},
        {"question_id": 3, "text": "q", "image": "d.png"},
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [one.question_id for one in load(f"jsonl:{path}", split="test").examples] == ["1", "3"]
    assert len(load(f"jsonl:{path}", limit=2).examples) == 2
    alone = load(f"jsonl:{path}", prior_policy="none").examples[0]
    assert (alone.image, alone.prior_policy) == (["a.png"], "none")
    with pytest.raises(InputError, match="only `none` can be chosen"):
        load(f"jsonl:{path}", prior_policy="libra")


def test_no_study_names_a_split(tmp_path: Path) -> None:
    """All are evaluated unasked, as of no split; another than the usual one cannot be chosen."""
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"question_id": 1, "text": "q", "image": ["a.png"]}) + "\n")
    (tmp_path / "ecgen").mkdir()
    (tmp_path / "ecgen" / "1.xml").write_text(XML.format(n=1, findings="Clear."))
    for spec in (f"jsonl:{path}", f"openi:{tmp_path / 'ecgen'}"):
        for split in ("train", "validate", "banana"):
            with pytest.raises(NoSplitsError, match=f"--split {split}: no study of .* names"):
                load(spec, split=split)
        whole = load(spec, split="test")
        assert (len(whole.examples), whole.settings["split"]) == (1, "unnamed")
        assert load(spec).settings.get("split") != "test"


def test_wrong_specs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'rexrank'"):
        load("rexrnak:x")
    with pytest.raises(InputError, match="jsonl:PATH"):
        load("jsonl")
    with pytest.raises(InputError, match="cannot be read"):
        load(f"jsonl:{tmp_path / 'absent.jsonl'}")
    with pytest.raises(InputError, match="Did you mean 'findings'"):
        load("synthetic", section="finding")
    with pytest.raises(MissingResourceError, match=r"physionet\.org/content/mimic-cxr-jpg"):
        load(f"mimic-cxr:{tmp_path}")


def test_synthetic_cohort_is_read_like_mimic_cxr(tmp_path: Path) -> None:
    from libra_bench.data.corpora import synthetic

    cohort = load("synthetic", split="test")
    assert (cohort.name, cohort.settings["prior_policy"]) == ("synthetic", "libra")
    assert 50 <= len(cohort.examples) <= 110
    assert 0.4 < sum(one.has_prior for one in cohort.examples) / len(cohort.examples) < 0.8
    assert cohort.image_root is not None
    for example in cohort.examples:
        assert all((cohort.image_root / name).is_file() for name in example.image)
        assert example.reference and example.view in ("PA", "AP")
        if not example.has_prior:
            assert not set(example.reference.split()) & {"unchanged.", "stable.", "new", "worse."}
    # Reports packed as PhysioNet offers them are read the same.
    root = synthetic.built_in()
    copy = tmp_path / "cohort"
    copy.mkdir()
    (copy / "files").mkdir()
    for name in ("mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-metadata.csv.gz"):
        (copy / name).write_bytes((root / name).read_bytes())
    with zipfile.ZipFile(copy / "mimic-cxr-reports.zip", "w") as packed:
        for file in root.rglob("s*.txt"):
            packed.write(file, file.relative_to(root))
    again = load(f"mimic-cxr:{copy}", split="test")
    assert [one.reference for one in again.examples] == [one.reference for one in cohort.examples]


def test_studies_without_findings_are_listed() -> None:
    cohort = load("synthetic", split="train")
    reasons = {one.reason for one in cohort.dropped}
    assert reasons == {"no findings in its report", "no frontal image"}
    kept = {one.study_id for one in cohort.examples}
    assert not kept & {one.id for one in cohort.dropped}


def test_libras_training_json(tmp_path: Path) -> None:
    image = "files/p10/p10000032/s50414267/a.jpg"

    def conversation(identifier: object, *turns: tuple[str, str]) -> dict[str, object]:
        spoken = [{"from": speaker, "value": text} for speaker, text in turns]
        return {"id": identifier, "image": [image, "b.jpg"], "conversations": spoken}

    pair = (("human", "<image>\nDescribe."), ("gpt", "Clear."))
    path = tmp_path / "train.json"
    path.write_text(json.dumps([conversation(1, *pair), conversation("2", *pair, *pair)]))
    cohort = load(f"jsonl:{path}", split="test")
    first = cohort.examples[0]
    assert (first.question_id, first.text, first.reference) == ("1", "Describe.", "Clear.")
    assert (first.subject_id, first.study_id) == ("10000032", "50414267")
    assert first.has_prior and "1 conversations have further turns" in cohort.notes[0]
    broken = [conversation(1, *pair), conversation(1, *pair), conversation(3, pair[0]), 4]
    path.write_text(json.dumps([*broken, conversation(5, pair[1], pair[0])]))
    with pytest.raises(InputError) as caught:
        load(f"jsonl:{path}")
    for fault in (
        "object 1 (id 1): the id",
        "object 2 (id 3): conv",
        "object 3",
        "not gpt and hum",
    ):
        assert fault in str(caught.value)
    path.write_text("[]")
    with pytest.raises(InputError, match="no conversations"):
        load(f"jsonl:{path}")


def test_ids_and_images_of_conversations(tmp_path: Path) -> None:
    """As in any example: no image may be null, a truth value is no id."""
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "r"}]
    path = tmp_path / "t.json"

    def read(**fields: object) -> list[str]:
        path.write_text(json.dumps([{"conversations": turns, **fields}]))
        return load(f"jsonl:{path}").examples[0].image

    assert read(id=1, image=None) == read(id=1, image=[]) == read(id=1) == []
    assert read(id="x", image=["a.png", None]) == read(id=1.0, image="a.png") == ["a.png"]
    for wrong in ({"id": True}, {"id": 1.5}, {"id": None}, {"id": 1, "image": [None]}, {}):
        with pytest.raises(InputError, match="object 0"):
            read(**wrong)


def test_prepared_files_are_read_back(tmp_path: Path) -> None:
    """What is prepared for training gives the questions and answers of the evaluation file."""
    from libra_bench.data.corpora.synthetic import built_in
    from libra_bench.data.mimic import Choice
    from libra_bench.data.prepare import prepare

    prepare(built_in(), tmp_path / "out", Choice())
    training = load(f"jsonl:{tmp_path / 'out' / 'validate.json'}").examples
    evaluation = load(f"jsonl:{tmp_path / 'out' / 'validate.jsonl'}").examples
    for name in ("question_id", "image", "text", "reference", "subject_id", "study_id"):
        assert [getattr(one, name) for one in training] == [
            getattr(one, name) for one in evaluation
        ]


def test_chexpert_plus_writes_nan_anywhere(tmp_path: Path) -> None:
    nan = float("nan")
    study = {**STUDY, "report": nan, "section_impression": nan, "split": nan, "context": nan}
    (example,) = load(rexrank(tmp_path / "x.json", {"patient1_study1": study})).examples
    assert (example.split, example.subject_id) == (None, "patient1")
    assert example.model_dump()["rexrank"]["report"] is None
    wrong = {**STUDY, "key_image_path": 7}
    with pytest.raises(InputError, match="study 'a_1': image"):
        load(rexrank(tmp_path / "x.json", {"a_1": wrong}))


@pytest.mark.parametrize("policy", ["study", "longitudinal-mimic", "hergen", "mlrg", "tibix"])
def test_a_run_may_ask_for_any_prior_policy(policy: str) -> None:
    cohort = load("synthetic", split="test", prior_policy=policy)
    libra = load("synthetic", split="test")
    assert {one.prior_policy for one in cohort.examples} == {policy}
    images = {one.question_id: one.image for one in libra.examples}
    assert any(one.image != images[one.question_id] for one in cohort.examples) or len(
        cohort.examples
    ) < len(images)
    # Whatever a policy leaves out is listed, study by study.
    gone = {one.study_id for one in libra.examples} - {one.study_id for one in cohort.examples}
    assert gone <= {one.id for one in cohort.dropped}
    assert (policy == "mlrg") == any("order in time" in note for note in cohort.notes)


def test_one_study_twice_in_a_rexrank_file(tmp_path: Path) -> None:
    """Under one name, of which `json` keeps the last, or under two that are one id."""
    study = '{"section_findings": "Clear.", "key_image_path": "a.png"}'
    file = tmp_path / "r.json"
    for other, message in (
        ("5", "'5' stands twice in an object"),
        ("5.0", "id '5' stands 2 times"),
    ):
        file.write_text(f'{{"5": {study}, "{other}": {study}}}')
        with pytest.raises(InputError, match=message):
            load(f"rexrank:{file}")
