"""BERTScore against `bert_score`, and what must not change it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from neural_models import write_encoder

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics import bertscore
from libra_bench.metrics.bertscore import BertScore, RescaledBertScore, baseline_of

PREDICTIONS = ["The heart is normal.", "No pleural effusion.", "", "lungs are clear " * 300]
REFERENCES = [
    "Heart size normal.",
    "Small left pleural effusion.",
    "Lungs are clear.",
    "Lungs clear.",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_encoder(tmp_path_factory.mktemp("bertscore") / "encoder"))


@pytest.mark.parametrize(("idf", "part"), [("false", "plain"), ("true", "idf")])
def test_equal_to_bert_score(parity: Path, idf: str, part: str) -> None:
    expected = json.loads((parity / "bertscore" / "expected.json").read_text())
    metric = BertScore(model=str(parity / "bertscore" / "encoder"), layer="2", idf=idf)
    pairs = expected["pairs"]
    triples = metric.triples(
        [pair["prediction"] for pair in pairs], [pair["reference"] for pair in pairs]
    )
    wanted = [expected[part][name] for name in ("precision", "recall", "f1")]
    np.testing.assert_allclose(np.array(triples).T, wanted, atol=1e-5, rtol=0)


def test_a_text_against_itself_is_1_and_nothing_is_0(encoder: str) -> None:
    same, empty = BertScore(model=encoder, layer="2").triples(
        ["No effusion.", ""], ["No effusion.", "No effusion."]
    )
    assert same == pytest.approx((1, 1, 1), abs=1e-6)
    assert empty == (0, 0, 0)


def test_neither_order_nor_company_nor_the_cache_matters(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = BertScore(model=encoder, layer="3")
    together = metric.triples(PREDICTIONS, REFERENCES)
    backwards = metric.triples(PREDICTIONS[::-1], REFERENCES[::-1])[::-1]
    assert backwards == together
    monkeypatch.setenv("LIBRA_BENCH_CACHE", str(tmp_path))
    alone = [
        metric.triples([prediction], [reference])[0]
        for prediction, reference in zip(PREDICTIONS, REFERENCES, strict=True)
    ]
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_what_is_known_is_not_computed_again(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = BertScore(model=encoder, layer="1").triples(PREDICTIONS, REFERENCES)
    monkeypatch.setattr(bertscore, "load_model", lambda *_: pytest.fail("the model was loaded"))
    assert BertScore(model=encoder, layer="1").triples(PREDICTIONS, REFERENCES) == first


def test_layer_0_is_the_embeddings(encoder: str) -> None:
    """Without any layer a word's vector depends on its place alone, so that a shared beginning
    matches perfectly: of three tokens (a heart .) all are in the reference at the same place."""
    layers = {
        layer: BertScore(model=encoder, layer=layer).triples(["the heart"], ["the heart . new"])[0]
        for layer in "03"
    }
    assert layers["0"][0] == pytest.approx(1, abs=1e-6)
    assert layers["3"][0] < 0.999


def test_idf_weighs_by_rarity_among_the_references(encoder: str) -> None:
    """ "the" is in all 3 references: log(4/4) = 0. "edema" is in none: log 4. So precision of
    "the edema" is that of "edema" alone, here at the same place of the text."""
    references = ["the heart", "the lungs", "the opacity"]
    metric = BertScore(model=encoder, layer="0", idf="true")
    weighted = metric.triples(["the edema", "the lungs", "the opacity"], references)[0]
    embedder = bertscore._Encoder(encoder, 0)
    ids = embedder.tokens(["the edema", "the heart"])
    prediction, reference = embedder._embed(ids)
    assert weighted[0] == pytest.approx(float((prediction[2] @ reference.T).max()), abs=1e-6)


def test_rescaling_is_linear_with_the_published_constants() -> None:
    precision, recall, f1 = baseline_of("distilroberta-base", 5)
    assert (precision, recall, f1) == (0.84732, 0.84759504, 0.8473319)
    metric = RescaledBertScore()
    assert metric._rescaled((1.0, recall, 0.9)) == pytest.approx(
        (1.0, 0.0, (0.9 - f1) / (1 - f1)), abs=1e-12
    )


def test_the_cohort_figure_is_the_mean_without_weights(encoder: str) -> None:
    report = BertScore(model=encoder, layer="2").score([*PREDICTIONS, None], [*REFERENCES, "x"])
    figure = BertScore(model="nowhere").aggregate(report)["bertscore"]
    assert float(figure) == pytest.approx(float(np.nanmean(report.values["bertscore"])))
    assert report.unscored == 1
    assert math.isnan(report.values["bertscore"][4])


def test_the_signature_tells_the_weights_apart(encoder: str, tmp_path: Path) -> None:
    other = str(write_encoder(tmp_path / "encoder", seed=1))
    one, two = BertScore(model=encoder).signature(4), BertScore(model=other).signature(4)
    assert one.startswith("metric:bertscore|version:1|encoder:encoder|weights:")
    assert one != two


def test_byte_level_bpe_takes_the_first_word_like_the_others(tmp_path: Path) -> None:
    """`bert_score` reads a text for RoBERTa as if a space stood before it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "no": 4, "Ġno": 5, "Ġ": 6}
    vocabulary |= {letter: place for place, letter in enumerate("on", start=7)}
    merges = [("n", "o"), ("Ġ", "no")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(tmp_path)
    RobertaModel(
        RobertaConfig(
            vocab_size=9,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            max_position_embeddings=34,
        )
    ).save_pretrained(tmp_path)
    encoder = bertscore._Encoder(str(tmp_path), 1)
    assert 5 in encoder.tokens(["no"])[0]
    assert 4 not in encoder.tokens(["no"])[0]
    assert len(encoder.tokens(["no " * 100])[0]) == 32
    BertScore(model=str(tmp_path), layer="1").triples(["no " * 100], ["no"])


def test_missing_weights_say_what_to_get() -> None:
    with pytest.raises(MissingResourceError) as gap:
        BertScore(model="owner/no-such-model").check()
    assert "bertscore.model" in str(gap.value)
    assert "libra-bench fetch owner/no-such-model" in gap.value.mend


def test_a_folder_without_weights_is_named(tmp_path: Path, encoder: str) -> None:
    (tmp_path / "config.json").write_text((Path(encoder) / "config.json").read_text())
    with pytest.raises(MissingResourceError, match="holds no weights"):
        BertScore(model=str(tmp_path)).check()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "five"}, "a number of a layer"),
        ({"idf": "maybe"}, "true or false"),
        ({"baseline": "distilroberta"}, "Did you mean 'distilroberta-base'"),
        ({"baseline": "distilroberta-base", "layer": "9"}, "none for layer 9"),
    ],
)
def test_wrong_options_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BertScore(**settings)


def test_a_layer_that_is_not_there_is_refused(encoder: str) -> None:
    with pytest.raises(InputError, match="3 layers, not 4"):
        BertScore(model=encoder, layer="4").triples(["a"], ["b"])


def test_blanks_collapse_as_in_cxr_report_metric(encoder: str) -> None:
    """ReXrank's step reads runs of blanks as one, and nothing else; it is not Libra's cleaning."""
    rescaled = RescaledBertScore(model=encoder, layer="2", baseline="none")
    odd, plain = "Lungs   are clear.  No effusion.", "Lungs are clear. No effusion."
    assert rescaled._clean(odd) == plain
    assert rescaled._clean("clear.\n\n No\t\tA-B") == "clear.\n\n No\t\tA-B"
    report = rescaled.score([odd], [plain])
    assert report.values["bertscore"][0] == pytest.approx(100, abs=1e-4)
    assert "clean:blanks" in rescaled.signature(1)


def test_radcliq_reads_bertscores_texts_so_and_the_others_not(encoder: str) -> None:
    from libra_bench.metrics import registry

    options = {"bertscore": {"model": encoder, "layer": "2", "baseline": "none"}}
    metric = registry.create("radcliq", "rexrank", options)
    cleanings = {name: getattr(part, "_cleaning", "own") for name, part in metric._parts.items()}
    assert cleanings == {"radgraph": "none", "bertscore": "blanks", "semb": "none", "bleu": "own"}
