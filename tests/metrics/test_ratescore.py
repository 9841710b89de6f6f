"""RaTEScore against the published package, and what it answers to hard input."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from neural_models import write_encoder

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics.ratescore.entities import Entity, entity_spans
from libra_bench.metrics.ratescore.metric import RaTEScore, _negates, _tied

pytest.importorskip("spacy")

KINDS = ("ABNORMALITY", "NON-ABNORMALITY", "DISEASE", "NON-DISEASE", "ANATOMY")
LABELS = ["O", *(f"{place}-{kind}" for kind in KINDS for place in "BI")]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("ratescore")
    names = dict(enumerate(LABELS))
    ner = write_encoder(
        folder / "ner",
        "BertForTokenClassification",
        seed=3,
        id2label=names,
        label2id={label: number for number, label in names.items()},
    )
    return {"ner": str(ner), "encoder": str(write_encoder(folder / "encoder", seed=4))}


@pytest.mark.parametrize("matrix", ["long", "short"])
def test_equal_to_the_package(parity: Path, matrix: str) -> None:
    kit = parity / "ratescore"
    pairs = json.loads((kit / "expected.json").read_text())["pairs"]
    metric = RaTEScore(str(kit / "ner"), str(kit / "encoder"), matrix)
    metric.check()
    scores = metric.each([p["prediction"] for p in pairs], [p["reference"] for p in pairs])
    equal = [abs(score - pair[matrix]) < 1e-5 for score, pair in zip(scores, pairs, strict=True)]
    # Where an entity is as near to one kind as to another the package follows the last bit of a
    # cosine, so on a processor that rounds otherwise it does not repeat its own answers.
    same_rounding = torch.backends.cpu.get_cpu_capability() == "AVX512"
    assert sum(equal) >= (1.0 if same_rounding else 0.75) * len(pairs)


def test_ties_between_kinds_are_settled_report_by_report_and_kept(
    weights: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = RaTEScore(**weights)
    truth = [Entity("effusion", "DISEASE"), Entity("heart", "ANATOMY")]
    hypothesis = [
        Entity("effusion", "DISEASE"),
        Entity("heart", "ANATOMY"),
        Entity("effusion", "NON-DISEASE"),
    ]
    monkeypatch.setattr(metric._recogniser, "read", lambda texts: [truth, hypothesis])
    batches = []
    alone = metric._encoder.together
    monkeypatch.setattr(
        metric._encoder, "together", lambda texts: batches.append(texts) or alone(texts)
    )
    (score,) = metric.each(["x"], ["y"])
    assert {*batches} == {tuple(entity.text for entity in side) for side in (truth, hypothesis)}
    possible = []
    for place in (0, 2):
        one, other = (alone([entity.text for entity in side]) for side in (truth, hypothesis))
        cosines = torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=2).numpy()
        cosines[0, place] += 1e-6
        possible.append(metric._score(truth, hypothesis, cosines, cosines.T))
    assert any(score == pytest.approx(one, abs=1e-5) for one in possible)
    assert metric.each(["x"], ["y"]) == [score]
    assert len(batches) == 2  # the second time nothing was encoded


def test_equal_kinds_are_no_tie() -> None:
    entities = [Entity("a", "DISEASE"), Entity("a", "DISEASE"), Entity("b", "ANATOMY")]
    assert not _tied(np.array([[1.0, 1.0, 0.5]]), entities)
    assert _tied(np.array([[0.2, 1.0, 1.0]]), entities)
    # A hundred-thousandth apart, the last bits of another batch may turn them round.
    assert _tied(np.array([[0.2, 0.9, 0.9 - 9e-6]]), entities)
    assert not _tied(np.array([[0.2, 0.9, 0.9 - 1.1e-5]]), entities)


def test_entity_spans() -> None:
    def spans(labels: str) -> list[tuple[int, int, str]]:
        names = [name if name == "O" else f"{name}-X" for name in labels.split()]
        return entity_spans(["[CLS]", *["w"] * (len(names) - 2), "[SEP]"], names)

    assert spans("O B I O O") == [(1, 2, "X")]
    assert spans("O B O O O") == [(1, 1, "X")]
    # An entity that is open at the end reaches to the last word, whatever its last labels are.
    assert spans("O B I I I") == [(1, 3, "X")]
    # The package closes a B at the next B and then opens there, so the second starts at the first
    # as well and is never closed at the end.
    assert spans("O B B I I") == [(1, 1, "X")]
    # An I before a B ends one entity and begins the next.
    assert spans("O B I B O O") == [(1, 2, "X"), (3, 3, "X")]
    assert spans("O I O B O O") == [(3, 3, "X")]


def test_what_negates() -> None:
    assert _negates("DISEASE", "NON-ABNORMALITY")
    assert not _negates("DISEASE", "ABNORMALITY")
    assert not _negates("ANATOMY", "NON-DISEASE")
    assert not _negates("NON-DISEASE", "NON-ABNORMALITY")


def test_score_by_hand(weights: dict[str, str]) -> None:
    metric = RaTEScore(**weights)
    truth = [Entity("a", "DISEASE"), Entity("b", "ANATOMY")]
    hypothesis = [Entity("b", "NON-DISEASE")]
    cosines = np.array([[0.6], [1.0]])
    weight = metric._affinity
    # Truth to hypothesis: a meets b at 0.6 and negates it, b meets b at 1.
    w1, w2 = weight["DISEASE", "NON-DISEASE"], weight["ANATOMY", "NON-DISEASE"]
    there = (0.6 * w1 * metric._negation + 1.0 * w2) / (w1 + w2)
    # Back: b meets b, an anatomy, at 1: no negation.
    back = 1.0
    expected = 2 * there * back / (there + back)
    assert metric._score(truth, hypothesis, cosines, cosines.T) == pytest.approx(expected)


def test_pairs_never_shift(weights: dict[str, str]) -> None:
    metric = RaTEScore(**weights)
    texts = ["Heart size is normal. No effusion.", "Small left pleural effusion.", "Mild edema."]
    references = ["No edema.", "Effusion, small.", "Stable right opacity."]
    alone = [metric.each([p], [r])[0] for p, r in zip(texts, references, strict=True)]
    assert metric.each(texts, references) == pytest.approx(alone, abs=1e-6)
    for gap in ("", " ", ".", "ab"):
        scores = metric.each(
            [texts[0], gap, *texts[1:]], [references[0], "Edema.", *references[1:]]
        )
        assert [scores[0], *scores[2:]] == pytest.approx(alone, abs=1e-6)
        assert scores[1] == 0.5


def test_hard_input(weights: dict[str, str]) -> None:
    metric = RaTEScore(**weights)
    texts = ["", "...", "心脏正常", "effusion " * 10_000, "No effusion."]
    report = metric.score([*texts, None, "x"], [*texts[::-1], "Edema.", ""])
    known = report.values["ratescore"]
    assert np.isnan(known[[4, 5, 6]]).all() and np.isfinite(known[:4]).all()
    same = metric.each(["No effusion. Mild edema."] * 2, ["No effusion. Mild edema."] * 2)
    assert same[0] == same[1]


def test_wrong_settings(weights: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ratescore.matrix.*long"):
        RaTEScore(matrix="lon")
    with pytest.raises(MissingResourceError, match=r"ratescore.ner"):
        RaTEScore(ner=str(tmp_path / "absent")).check()
    strange = write_encoder(tmp_path / "ner", "BertForTokenClassification", num_labels=2)
    with pytest.raises(InputError, match="no weight for"):
        names = {0: "O", 1: "B-DRUG"}
        strange = write_encoder(tmp_path / "drugs", "BertForTokenClassification", id2label=names)
        RaTEScore(ner=str(strange), encoder=weights["encoder"]).check()
