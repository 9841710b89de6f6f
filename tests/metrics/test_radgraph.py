"""RadGraph's annotations and rewards against the published package, and by hand."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics import registry
from libra_bench.metrics.radgraph import rewards
from libra_bench.metrics.radgraph.annotation import Annotation, Annotator, annotate
from libra_bench.metrics.radgraph.archive import read_archive
from libra_bench.metrics.radgraph.metric import RadGraph, RadGraphV1
from libra_bench.metrics.radgraph.model import Relation, Span
from libra_bench.metrics.radgraph.words import words


@pytest.fixture
def archive(parity: Path) -> str:
    return str(parity / "radgraph" / "radgraph-xl")


def expected(parity: Path) -> dict:
    return json.loads((parity / "radgraph" / "expected.json").read_text())


def test_annotations_equal_to_the_package(parity: Path, archive: str) -> None:
    pairs = expected(parity)["pairs"]
    for side in ("prediction", "reference"):
        found = Annotator(archive, "").read([pair[side] for pair in pairs])
        for annotation, pair in zip(json.loads(json.dumps(found)), pairs, strict=True):
            published = pair[f"{side}_annotation"]
            assert annotation == {key: published[key] for key in ("text", "entities")}, pair["id"]


def test_scores_equal_to_the_package(parity: Path, archive: str) -> None:
    kit = expected(parity)
    texts = [[pair[side] for pair in kit["pairs"]] for side in ("prediction", "reference")]
    metric = RadGraph(archive, lowercase="false")
    metric.check()
    report = metric.score(*texts)
    for name, published in (("rg_e", "RG_E"), ("rg_er", "RG_ER"), ("rg_bar_er", "RG_ER_bar")):
        own = [pair[published] for pair in kit["pairs"]]
        assert report.values[name] / 100 == pytest.approx(own, abs=1e-9)
        mean = float(metric.aggregate(report)[name])
        assert mean / 100 == pytest.approx(kit["mean"][published], abs=1e-9)


def test_a_packed_archive_says_the_same(archive: str, tmp_path: Path) -> None:
    encoder = str(Path(archive).parent / "bert")
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as packed:
        packed.add(archive, arcname=".")
    texts = ["Small left effusion. Heart is normal."]
    packed_one = Annotator(str(tmp_path / "packed.tar.gz"), encoder)
    packed_one.check()
    assert packed_one.read(texts) == Annotator(archive, encoder).read(texts)
    # Nor does its signature, whatever folder lies inside and whatever lies beside the weights.
    assert packed_one.fingerprint == Annotator(archive, encoder).fingerprint
    with tarfile.open(tmp_path / "inside.tar.gz", "w:gz") as packed:
        packed.add(archive, arcname="radgraph-xl")
    inside = Annotator(str(tmp_path / "inside.tar.gz"), encoder)
    assert inside.fingerprint == packed_one.fingerprint


def test_what_decides_an_annotation_is_in_its_fingerprint(archive: str, tmp_path: Path) -> None:
    encoder = str(Path(archive).parent / "bert")
    copy = Path(shutil.copytree(archive, tmp_path / "copy", copy_function=shutil.copyfile))

    def told() -> str:
        return Annotator(str(copy), encoder).fingerprint

    as_published = Annotator(archive, encoder).fingerprint
    (copy / "README.md").write_text("About this model.")
    assert told() == as_published
    labels = copy / "vocabulary" / "radgraph-xl__relation_labels.txt"
    labels.write_text("\n".join(labels.read_text().split("\n")[::-1]))
    assert told() != as_published


def test_a_report_longer_than_the_encoder_is_read_whole(archive: str) -> None:
    annotator = Annotator(archive, "")
    text = "Small left effusion . " * 150
    (found,) = annotator.read([text])
    assert max(entity["end_ix"] for entity in found["entities"].values()) > 550


def test_order_and_company_do_not_matter(archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Heart is normal.", "No effusion or pneumothorax is seen today.", "x", "Edema. " * 50]
    together = Annotator(archive, "")._read(texts)
    assert together == [Annotator(archive, "")._read([text])[0] for text in texts]
    assert together[::-1] == Annotator(archive, "")._read(texts[::-1])


@pytest.mark.parametrize(
    ("dataset", "text", "expected"),
    [
        ("radgraph", "No effusion.Size 2.5cm", "No effusion . Size 2 . 5cm"),
        ("radgraph", "left-sided (mild)", "left-sided ( mild )"),
        ("radgraph-xl", "left-sided 2.5cm (mild).", "left - sided 2 . 5cm ( mild ) ."),
        ("radgraph-xl", "50%. 'a\\nb'", "50 % . ' a b '"),
        ("radgraph-xl", "(50%), 5%, end.'", "( 50 % ), 5 % , end . '"),
        ("radgraph-xl", "a (5%) b", "a ( 5 % ) b"),
        ("radgraph-xl", "a\\fb\\u2122c", "a b c"),
    ],
)
def test_words(dataset: str, text: str, expected: str) -> None:
    assert words(text, dataset) == expected.split()


def note(
    *entities: tuple[str, str], relations: tuple[tuple[int, str, int], ...] = ()
) -> Annotation:
    """An annotation of one-word entities."""
    report = [text for text, _ in entities]
    spans = [Span(place, place, label) for place, (_, label) in enumerate(entities)]
    links = [Relation((one, one), (other, other), label) for one, label, other in relations]
    return annotate(report, spans, links)


def test_rewards_by_hand() -> None:
    one = note(("Left", "A"), ("effusion", "O"), relations=((0, "modify", 1),))
    other = note(("left", "A"), ("effusion", "O"))
    assert rewards.entities(one) == {("Left", "A"), ("effusion", "O")}
    assert rewards.entities_with_relations(one) == {("Left", "A", True), ("effusion", "O")}
    assert rewards.complete(one) == {("left", "A", "modify", "effusion"), ("effusion", "O")}
    assert rewards.relations(one) == {(("Left", "A"), ("effusion", "O"), "modify")}
    as_written = rewards.overlap(rewards.entities(one), rewards.entities(other))
    assert as_written == pytest.approx((0.5, 0.5, 0.5))
    lower = rewards.overlap(rewards.entities(one, str.lower), rewards.entities(other, str.lower))
    assert lower == pytest.approx((1, 1, 1))
    assert rewards.overlap(set(), set()) == (0, 0, 0)


def test_figures_of_a_pair_by_hand(archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two entities that were said one is true, and all that is true was said: precision 1/2,
    recall 1, F1 2/3. The relation of the reference's entity is missing: RG_ER shares nothing."""
    said = note(("effusion", "O"), ("edema", "O"))
    true = note(("Effusion", "O"))
    related = note(("left", "A"), ("effusion", "O"), relations=((1, "at", 0),))
    metric = RadGraph(archive)
    pairs = {"one": (said, true), "two": (said, related)}
    monkeypatch.setattr(
        metric._annotator,
        "read_both",
        lambda texts, _: tuple([pairs[text][side] for text in texts] for side in (0, 1)),
    )
    found = metric.score(["one", "two"], ["one", "two"]).values
    assert found["rg_e"] == pytest.approx([100 * 2 / 3, 50])
    assert found["rg_e_precision"] == pytest.approx([50, 50])
    assert found["rg_e_recall"] == pytest.approx([100, 50])
    assert found["rg_er"] == pytest.approx([100 * 2 / 3, 0])
    assert found["rg_bar_er_recall"] == pytest.approx([100, 0])
    as_written = RadGraph(archive, lowercase="false")
    monkeypatch.setattr(as_written._annotator, "read_both", metric._annotator.read_both)
    assert as_written.score(["one"], ["one"]).values["rg_e"] == pytest.approx([0])


def test_relations_to_what_is_no_entity_fall_away() -> None:
    found = annotate(["a", "b"], [Span(0, 0, "X")], [Relation((0, 0), (1, 1), "r")])
    assert found["entities"]["1"]["relations"] == []


def test_hard_input(archive: str) -> None:
    for metric in (RadGraph(archive), RadGraphV1(archive)):
        texts = ["", "...", "心脏正常", "effusion " * 500, "x", "No effusion."]
        report = metric.score([*texts, None, "x"], [*texts[::-1], "Edema.", ""])
        first = next(iter(report.values.values()))
        assert first[0] == 0  # nothing was said
        assert np.isfinite(first[[0, 1, 2, 3, 4]]).all() and np.isnan(first[[5, 6, 7]]).all()
        assert report.unscored == 3


def test_archives_that_are_none(archive: str, tmp_path: Path) -> None:
    with pytest.raises(MissingResourceError, match=r"radgraph.archive"):
        RadGraph(str(tmp_path / "absent.tar.gz")).check()
    with pytest.raises(MissingResourceError, match=r"weights.th"):
        RadGraph(str(tmp_path)).check()
    (tmp_path / "torn.tar.gz").write_bytes(b"\x1f\x8bnothing")
    with pytest.raises(InputError, match="cannot be read as an archive"):
        RadGraph(str(tmp_path / "torn.tar.gz")).check()
    with pytest.raises(MissingResourceError, match=r"radgraph.encoder"):
        RadGraph(archive, encoder=str(tmp_path / "no-encoder")).check()
    with pytest.raises(InputError, match=r"true or false"):
        RadGraph(archive, lowercase="yes")
    assert read_archive(archive).dataset == "radgraph-xl"


def test_the_registry_lends_options() -> None:
    options = {"chexbert": {"checkpoint": "nowhere.pth"}}
    (semb,) = registry.create_all(["semb"], "libra", options)
    with pytest.raises(MissingResourceError, match=r"nowhere.pth"):
        semb.check()
    with pytest.raises(InputError, match="metrics does not name"):
        registry.create_all(["bleu"], "libra", options)
    with pytest.raises(InputError, match="checkpont"):
        registry.create_all(["semb"], "libra", {"chexbert": {"checkpont": "x"}})
    registry.create_all(["radcliq"], "rexrank", {**options, "radgraph": {"archive": "x"}})
