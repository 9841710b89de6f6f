"""Damaged or incomplete models of metrics: a reason and no figure, never a traceback."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from libra_bench.core.errors import InputError, MissingResourceError
from libra_bench.metrics import registry
from libra_bench.metrics.scoring import score_texts

pytest.importorskip("spacy")

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "benchmarks", ROOT / "tests" / "faults"):
    sys.path.insert(0, str(folder))
try:
    import fuzz_encoders as fuzz
    import metric_models as models
finally:
    del sys.path[:2]

PREDICTIONS = ["Small left pleural effusion. No pneumothorax.", "The heart is enlarged.", "Clear."]
REFERENCES = ["There is a small pleural effusion.", "Heart size is normal. Lungs clear.", "Clear."]
TEXTS = (PREDICTIONS, REFERENCES)


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder, texts = tmp_path_factory.mktemp("whole"), [*PREDICTIONS, *REFERENCES]
    ner, encoder = models.write_ratescore(folder / "ratescore", texts, models.TINY, spread=0.3)
    archive = models.write_radgraph(folder / "radgraph", texts, models.TINY, spread=0.2, seed=1)
    checkpoint, bert = models.write_chexbert(folder / "chexbert", texts, models.TINY)
    plain = models.write_encoder(folder / "bertscore", texts, models.TINY)
    return {
        "ratescore": {"ratescore": {"ner": str(ner), "encoder": str(encoder)}},
        "radgraph": {
            "radgraph": {"archive": str(archive), "encoder": str(archive.parent / "bert")}
        },
        "chexbert": {"chexbert": {"checkpoint": str(checkpoint), "encoder": str(bert)}},
        "bertscore": {"bertscore": {"model": str(plain), "layer": "2"}},
    }


def test_damage_of_any_kind_gives_a_reason_or_the_whole_models_figure(
    kits: dict[str, Any], tmp_path: Path
) -> None:
    results = list(fuzz.campaign(kits, TEXTS, 60, 4, tmp_path))
    counts = Counter(result for _, result in results)
    assert set(counts) == {"same", "not scored"}, [r for r in results if len(r[1]) > 10]
    assert counts["not scored"] > 20


def broken(kits: dict[str, Any], metric: str, folder: Path) -> tuple[Any, Path]:
    """A copy of a metric's models, and its first folder or file."""
    options, _ = fuzz.copied(kits[metric], folder)
    return options, Path(next(iter(options[metric].values())))


def reason(metric: str, options: Any) -> str:
    found = fuzz.figures(metric, options, *TEXTS)
    assert isinstance(found, str), f"scored with {found}"
    return found


def test_an_encoder_without_tokenizer_is_not_scored(kits: dict[str, Any], tmp_path: Path) -> None:
    """transformers makes a tokenizer of special tokens alone where there are no files of one."""
    options, folder = broken(kits, "bertscore", tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink()
    assert "holds no tokenizer" in reason("bertscore", options)
    (gap,) = registry.create("bertscore", "libra", options).missing()
    assert str(folder) in gap.what


def test_a_list_of_words_that_was_cut_off_is_not_scored(
    kits: dict[str, Any], tmp_path: Path
) -> None:
    options, folder = broken(kits, "bertscore", tmp_path)
    (folder / "tokenizer.json").unlink()
    whole = (folder / "vocab.txt").read_text().splitlines()
    (folder / "vocab.txt").write_text("\n".join(whole[:-3]) + "\n")
    assert f"{len(whole) - 3} words of {len(whole)}" in reason("bertscore", options)


@pytest.mark.parametrize("metric", ["bertscore", "chexbert", "radgraph", "ratescore"])
def test_weights_that_are_no_numbers_are_named(
    kits: dict[str, Any], tmp_path: Path, metric: str
) -> None:
    import random

    options, files = fuzz.copied(kits[metric], tmp_path)
    weights = [file for file in files if file.suffix in (".safetensors", ".pth", ".th")]
    # RadGraph's archive brings the weights of its encoder; those beside the tokenizer are not read.
    path = max(weights, key=lambda file: file.suffix in (".pth", ".th"))
    fuzz._not_finite(path, random.Random(0))
    assert "weights that are not finite: " in reason(metric, options)


def test_more_layers_than_the_configuration_says(kits: dict[str, Any], tmp_path: Path) -> None:
    options, folder = broken(kits, "ratescore", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    assert "more than the 1 layers" in reason("ratescore", options)


def test_labels_that_are_none_of_entities(kits: dict[str, Any], tmp_path: Path) -> None:
    """Without B- and I- no entity is ever found, and every pair would score 50."""
    options, folder = broken(kits, "ratescore", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    names = {key: f"LABEL_{key}" for key in config["id2label"]}
    (folder / "config.json").write_text(json.dumps({**config, "id2label": names}))
    assert "no label B-" in reason("ratescore", options)


def test_a_shard_outside_the_folder_is_not_opened(kits: dict[str, Any], tmp_path: Path) -> None:
    options, folder = broken(kits, "bertscore", tmp_path)
    (folder / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    index = {"weight_map": {"embeddings": "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "names '../elsewhere.safetensors'" in reason("bertscore", options)


def test_code_in_a_folder_is_never_run(kits: dict[str, Any], tmp_path: Path) -> None:
    """`auto_map` asks for the folder's own code; nobody is asked whether to run it."""
    options, folder = broken(kits, "bertscore", tmp_path)
    ran = tmp_path / "ran"
    (folder / "code.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    assert "bertscore.model" in reason("bertscore", options)
    assert not ran.exists()


def test_a_pickle_that_runs_code_is_refused(kits: dict[str, Any], tmp_path: Path) -> None:
    import os
    import pickle

    class Evil:
        def __reduce__(self) -> object:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    options, file = broken(kits, "chexbert", tmp_path)
    file.write_bytes(pickle.dumps({"model_state_dict": Evil()}))
    assert "cannot be read as weights" in reason("chexbert", options)
    assert not (tmp_path / "ran").exists()


def test_all_that_a_metric_lacks_is_told_at_once_before_any_weights(tmp_path: Path) -> None:
    options = {
        "ratescore": {"ner": str(tmp_path / "one"), "encoder": str(tmp_path / "two")},
        "chexbert": {"checkpoint": str(tmp_path), "encoder": str(tmp_path / "three")},
    }
    metric = registry.create("ratescore", "libra", options)
    assert [gap.what for gap in metric.missing()] == [
        f"ratescore.ner: there is no folder {tmp_path / 'one'}",
        f"ratescore.encoder: there is no folder {tmp_path / 'two'}",
    ]
    with pytest.raises(MissingResourceError) as caught:
        metric.check()
    assert "one" in caught.value.what and "two" in caught.value.what
    labels = registry.create("chexbert", "libra", options).missing()
    assert [gap.what.partition(":")[0] for gap in labels] == [
        "chexbert.checkpoint",
        "chexbert.encoder",
    ]
    assert "is a folder" in labels[0].what
    parts = registry.create("radcliq", "rexrank", options).missing()
    assert {"chexbert.checkpoint", "chexbert.encoder"} <= {
        gap.what.partition(":")[0] for gap in parts
    }


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "/" + "y/" * 3000, "owner/bad name"])
def test_names_that_nothing_can_have(name: str) -> None:
    for metric, key in (("bertscore", "model"), ("chexbert", "checkpoint")):
        gaps = registry.create(metric, "libra", {metric: {key: name}}).missing()
        assert gaps and gaps[0].what.startswith(f"{metric}.{key}")


def test_the_other_metrics_are_scored(kits: dict[str, Any], tmp_path: Path) -> None:
    options, folder = broken(kits, "bertscore", tmp_path)
    shutil.rmtree(folder)
    made = registry.create_all(["bertscore", "rouge_l"], "libra", options)
    scores = score_texts(PREDICTIONS, REFERENCES, made, trials=10)
    assert set(scores.not_scored) == {"bertscore"}
    assert set(scores.figures) == {"rouge_l"}


def test_a_wrong_layer_is_the_users_to_mend(kits: dict[str, Any]) -> None:
    options = {"bertscore": {**kits["bertscore"]["bertscore"], "layer": "9"}}
    with pytest.raises(InputError, match="2 layers, not 9") as caught:
        fuzz.figures("bertscore", options, *TEXTS)
    assert not isinstance(caught.value, MissingResourceError)
