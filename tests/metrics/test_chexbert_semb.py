"""CheXbert's labels and embeddings against the published labeller; their figures by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from neural_models import config, write_tokenizer

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics import chexbert
from libra_bench.metrics.chexbert import FIVE, LABELS, CheXbert, Labeller
from libra_bench.metrics.semb import Semb, cosine

TEXTS = ["The heart is normal.", "", "No pleural effusion. " * 200, "Small left effusion."]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    import torch
    from transformers import BertModel

    folder = tmp_path_factory.mktemp("chexbert")
    write_tokenizer(folder / "bert")
    settings = config()
    settings.save_pretrained(folder / "bert")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = {f"module.bert.{key}": v for key, v in BertModel(settings).state_dict().items()}
        for place in range(14):
            classes = 4 if place < 13 else 2
            state[f"module.linear_heads.{place}.weight"] = torch.randn(classes, 16)
            state[f"module.linear_heads.{place}.bias"] = torch.randn(classes)
    torch.save({"model_state_dict": state}, folder / "chexbert.pth")
    return {"checkpoint": str(folder / "chexbert.pth"), "encoder": str(folder / "bert")}


def test_equal_to_the_published_labeller(parity: Path) -> None:
    kit = parity / "chexbert"
    expected = json.loads((kit / "expected.json").read_text())
    settings = {"checkpoint": str(kit / "chexbert.pth"), "encoder": str(kit / "bert")}
    pairs = expected["pairs"]
    assert list(LABELS) == expected["labels_order"]
    assert list(FIVE) == expected["five"]
    labeller = Labeller(**settings)
    texts = {side: [pair[side] for pair in pairs] for side in ("prediction", "reference")}
    for side, part in texts.items():
        readings = labeller.read(part)
        uncertain = [np.where(one.classes == 3, -1, one.classes == 1).tolist() for one in readings]
        assert uncertain == [pair[f"{side}_classes"] for pair in pairs]
        assert [one.present.astype(int).tolist() for one in readings] == [
            pair[f"{side}_labels"] for pair in pairs
        ]
    metric = CheXbert(**settings)
    figures = metric.aggregate(metric.score(texts["prediction"], texts["reference"]))
    for size in (14, 5):
        for average in ("micro", "macro", "weighted"):
            figure = float(figures[f"chexbert_{size}_{average}_f1"])
            assert figure == pytest.approx(100 * expected[f"f1_{size}"][f"{average} avg"], abs=1e-5)
    semb = Semb(**settings)
    report = semb.score(texts["prediction"], texts["reference"])
    np.testing.assert_allclose(
        report.values["semb"] / 100, [pair["semb"] for pair in pairs], atol=1e-5
    )
    assert float(semb.aggregate(report)["semb"]) == pytest.approx(
        100 * expected["semb_mean"], abs=1e-4
    )


def statistics(*reports: dict[str, str]) -> np.ndarray:
    """[n, 43] from `{label: tp, fp or fn}` a report."""
    rows = np.zeros((len(reports), len(CheXbert.statistics)))
    rows[:, 0] = 1
    for row, report in zip(rows, reports, strict=True):
        for label, count in report.items():
            row[CheXbert.statistics.index(f"{label}_{count}")] = 1
    return rows


def test_averages_by_hand() -> None:
    """Edema: 2 tp, 1 fn, F1 4/5. Cardiomegaly: 1 fp, F1 0. Fracture, which is none of the five:
    1 tp, F1 1. Five: micro 4/6, macro (4/5)/5, weighted by 3 references with edema 4/5.
    Fourteen: micro 6/8, macro (4/5 + 1)/14, weighted (3 * 4/5 + 1)/4."""
    rows = statistics(
        {"edema": "tp", "fracture": "tp"},
        {"edema": "tp", "cardiomegaly": "fp"},
        {"edema": "fn"},
    )
    metric = CheXbert(checkpoint="nowhere")
    figures = {name: float(value) for name, value in metric.finalise(rows.sum(axis=0)).items()}
    assert figures == pytest.approx(
        {
            "chexbert_5_micro_f1": 100 * 4 / 6,
            "chexbert_5_macro_f1": 100 * 4 / 25,
            "chexbert_5_weighted_f1": 100 * 4 / 5,
            "chexbert_14_micro_f1": 100 * 6 / 8,
            "chexbert_14_macro_f1": 100 * 1.8 / 14,
            "chexbert_14_weighted_f1": 100 * 3.4 / 4,
        }
    )


def test_averages_as_scikit_learn_has_them() -> None:
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(0)
    truth, guess = (generator.random((40, 14)) < share for share in (0.3, 0.4))
    truth[:, 3] = guess[:, 3] = False  # a label that nobody has
    counts = np.stack([truth & guess, ~truth & guess, truth & ~guess], axis=-1).reshape(40, -1)
    sums = np.concatenate([[40], counts.sum(axis=0)]).astype(float)
    figures = CheXbert().finalise(np.stack([sums, 2 * sums]))
    five = [LABELS.index(label) for label in FIVE]
    for average in ("micro", "macro", "weighted"):
        for size, columns in ((14, slice(None)), (5, five)):
            expected = 100 * f1_score(
                truth[:, columns], guess[:, columns], average=average, zero_division=0
            )
            name = f"chexbert_{size}_{average}_f1"
            np.testing.assert_allclose(figures[name], [expected, expected])


def test_no_report_no_figure() -> None:
    figures = CheXbert().finalise(np.zeros(len(CheXbert.statistics)))
    assert all(np.isnan(value) for value in figures.values())


def test_a_reports_own_figure_is_the_f1_of_its_labels(
    weights: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: Labeller, texts: list[str]) -> list[chexbert.Reading]:
        classes = {"nothing": {}, "edema": {4: 1}, "doubt": {4: 3, 5: 2, 11: 1}}
        rows = [[classes[text].get(place, 0) for place in range(14)] for text in texts]
        return [chexbert.Reading(np.array(row), np.ones(2)) for row in rows]

    monkeypatch.setattr(Labeller, "read", read)
    metric = CheXbert(**weights)
    report = metric.score(["nothing", "doubt", "nothing"], ["nothing", "edema", "edema"])
    # Uncertain edema is edema; absent consolidation is nothing; of two labels one is right.
    np.testing.assert_allclose(report.values["chexbert_5_macro_f1"], [100, 100, 0])
    np.testing.assert_allclose(report.values["chexbert_14_micro_f1"], [100, 200 / 3, 0])


def test_neither_order_nor_company_nor_the_cache_matters(
    weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Labeller(**weights).read(TEXTS)
    monkeypatch.setattr(chexbert, "load_tokenizer", lambda *_: pytest.fail("loaded again"))
    for one, other in zip(Labeller(**weights).read(TEXTS[::-1])[::-1], together, strict=True):
        assert (one.embedding == other.embedding).all()
    monkeypatch.undo()
    monkeypatch.setenv("LIBRA_BENCH_CACHE", str(tmp_path))
    labeller = Labeller(**weights)
    for text, expected in zip(TEXTS, together, strict=True):
        [alone] = labeller.read([text])
        assert alone.classes.tolist() == expected.classes.tolist()
        np.testing.assert_allclose(alone.embedding, expected.embedding, atol=1e-5)


def test_512_tokens_are_read_and_no_more(weights: dict[str, str]) -> None:
    """[CLS] and [SEP] are two of them, so the 510th word counts and the 511th does not."""
    words = ["no", "effusion", "heart", "normal", "left"] * 103
    texts = [
        " ".join([*words[:509], word, *more])
        for word in ("edema", "clear")
        for more in ([], ["mild"])
    ]
    one, longer, other, _ = (reading.embedding for reading in Labeller(**weights).read(texts))
    np.testing.assert_allclose(one, longer, atol=1e-6)
    assert np.abs(one - other).max() > 1e-3


def test_a_text_against_itself(weights: dict[str, str]) -> None:
    report = Semb(**weights).score([*TEXTS, None], [*TEXTS, "x"])
    # The second reference is blank, the last prediction missing.
    np.testing.assert_allclose(report.values["semb"], [100, np.nan, 100, 100, np.nan], rtol=1e-6)


def test_cosine_by_hand() -> None:
    assert cosine(np.array([3.0, 4.0]), np.array([4.0, 3.0])) == pytest.approx(24 / 25)
    assert cosine(np.zeros(2), np.ones(2)) == 0


@pytest.mark.parametrize("kind", [CheXbert, Semb])
def test_missing_weights_say_what_to_get(kind: type[CheXbert], weights: dict[str, str]) -> None:
    with pytest.raises(MissingResourceError) as gap:
        kind(checkpoint="owner/repository/no-such.pth").check()
    assert "chexbert.checkpoint" in gap.value.what
    assert "libra-bench fetch owner/repository/no-such.pth" in gap.value.mend
    with pytest.raises(MissingResourceError, match=r"chexbert\.encoder"):
        kind(checkpoint=weights["checkpoint"], encoder="/no/such/folder").check()


def test_foreign_files_are_refused(weights: dict[str, str], tmp_path: Path) -> None:
    import torch

    text = tmp_path / "text.pth"
    text.write_text("no weights")
    with pytest.raises(InputError, match="cannot be read as weights"):
        CheXbert(str(text), weights["encoder"]).score(["a"], ["b"])
    torch.save({"model_state_dict": {}}, text)
    with pytest.raises(InputError, match=r"missing: linear_heads\.0\.weight"):
        CheXbert(str(text), weights["encoder"]).score(["a"], ["b"])


# White space of Python's regular expressions that BERT's tokenizer drops as control characters.
GAPS = ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\xa0", "\r\n\t "]


@pytest.mark.parametrize("gap", GAPS, ids=ascii)
def test_white_space_of_any_kind_parts_words(weights: dict[str, str], gap: str) -> None:
    """CheXbert's own cleaning makes a blank of each before the tokenizer sees it."""
    plain, odd = Labeller(**weights).read(
        ["no pleural effusion .", f"{gap}no{gap}pleural effusion{gap}{gap}.{gap}"]
    )
    assert (plain.embedding == odd.embedding).all()
    metric = Semb(**weights)
    report = metric.score([f"no{gap}pleural effusion"], ["no pleural effusion"])
    assert report.values["semb"][0] == pytest.approx(100)
