"""Encoders with random weights, in the layouts that metrics and their packages read.

The speed of a metric depends on shapes and on how words fall into pieces, not on what the weights
say: the tokenizer gets the words of the texts themselves, so a word is about one piece, as with the
vocabularies these models have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer


@dataclass(frozen=True)
class Size:
    """Sizes of an encoder."""

    width: int
    layers: int
    heads: int
    hidden: int

    @property
    def settings(self) -> dict[str, int]:
        """As a configuration of transformers has them."""
        return {
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.hidden,
        }


BASE = Size(768, 12, 12, 3072)
"""BERT-base and DeBERTa-v3-base."""
TINY = Size(48, 2, 4, 96)

KINDS = ("ABNORMALITY", "NON-ABNORMALITY", "DISEASE", "NON-DISEASE", "ANATOMY")
RADGRAPH_LABELS = (
    "",
    "Observation::definitely present",
    "Anatomy::definitely present",
    "Observation::definitely absent",
    "Observation::uncertain",
)
RELATIONS = ("located_at", "modify", "suggestive_of")
HIDDEN, FEATURES, WIDEST = 150, 20, 8


def write_tokenizer(folder: Path, texts: Sequence[str], kind: str = "BertTokenizer") -> int:
    """A WordPiece tokenizer with the words of the texts; returns the size of its vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    letters = sorted({letter for word in words for letter in word})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters]
    pieces += [f"##{letter}" for letter in letters]
    pieces = list(dict.fromkeys(pieces))
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    settings = {
        "tokenizer_class": kind,
        "do_lower_case": True,
        "model_max_length": 512,
        **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    # Encoders that never had a WordPiece tokenizer of their own are read from this file alone.
    fast = BertWordPieceTokenizer({piece: number for number, piece in enumerate(pieces)})
    fast.save(str(folder / "tokenizer.json"))
    return len(pieces)


def write_ratescore(
    folder: Path, texts: Sequence[str], size: Size = BASE, spread: float = 0.02
) -> tuple[Path, Path]:
    """A token classifier of DeBERTa-v3's architecture and an encoder of BERT's.

    Args:
        spread: of the weights; the larger, the more kinds of entities there are.
    """
    from transformers import BertConfig, BertModel, DebertaV2Config, DebertaV2ForTokenClassification

    labels = ["O", *(f"{place}-{kind}" for kind in KINDS for place in "BI")]
    ner, encoder = folder / "ner", folder / "encoder"
    words = write_tokenizer(ner, texts)
    write_tokenizer(encoder, texts)
    torch.manual_seed(0)
    config = DebertaV2Config(
        **size.settings,
        vocab_size=words,
        initializer_range=spread,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        max_position_embeddings=512,
        layer_norm_eps=1e-7,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    DebertaV2ForTokenClassification(config).save_pretrained(ner)
    bert = BertConfig(vocab_size=words, initializer_range=spread, **size.settings)
    BertModel(bert).save_pretrained(encoder)
    return ner, encoder


def write_encoder(folder: Path, texts: Sequence[str], size: Size = BASE) -> Path:
    """An encoder of BERT's architecture, for BERTScore."""
    from transformers import BertConfig, BertModel

    words = write_tokenizer(folder, texts)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=words, **size.settings)).save_pretrained(folder)
    return folder


def write_chexbert(folder: Path, texts: Sequence[str], size: Size = BASE) -> tuple[Path, Path]:
    """A checkpoint of CheXbert's form, and the folder of its tokenizer and configuration."""
    from transformers import BertConfig, BertModel

    words = write_tokenizer(folder / "bert", texts)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=words, **size.settings)
    config.save_pretrained(folder / "bert")
    weights = {f"bert.{key}": value for key, value in BertModel(config).state_dict().items()}
    for head in range(14):
        classes = 2 if head == 13 else 4
        weights[f"linear_heads.{head}.weight"] = torch.randn(classes, size.width)
        weights[f"linear_heads.{head}.bias"] = torch.zeros(classes)
    state = {f"module.{key}": value for key, value in weights.items()}
    torch.save({"model_state_dict": state}, folder / "chexbert.pth")
    return folder / "chexbert.pth", folder / "bert"


def write_radgraph(
    folder: Path,
    texts: Sequence[str],
    size: Size = BASE,
    spread: float = 0.02,
    seed: int = 0,
    dataset: str = "radgraph-xl",
) -> Path:
    """An archive of RadGraph's form over an encoder of BERT's, which lies beside it.

    Args:
        dataset: of the labels: `radgraph`, `radgraph-xl`, or `modern-radgraph-xl`, whose encoder is
            of ModernBERT's architecture.
    """
    import transformers

    modern = dataset.startswith("modern")
    kind = "PreTrainedTokenizerFast" if modern else "BertTokenizer"
    words = write_tokenizer(folder / "bert", texts, kind)
    torch.manual_seed(seed)
    shape = {"vocab_size": words, "initializer_range": spread, **size.settings}
    if modern:
        # The special tokens as `write_tokenizer` numbers them.
        marks = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3}
        config = transformers.ModernBertConfig(
            **shape, **marks, bos_token_id=2, eos_token_id=3, local_attention=16
        )
        model = transformers.ModernBertModel(config)
    else:
        config = transformers.BertConfig(**shape)
        model = transformers.BertModel(config)
    config.save_pretrained(folder / "bert")
    # The package makes its encoder from weights that lie there before it reads the archive's.
    model.save_pretrained(folder / "bert")
    archive = folder / dataset
    (archive / "vocabulary").mkdir(parents=True, exist_ok=True)
    for kind, labels in (("ner_labels", RADGRAPH_LABELS), ("relation_labels", RELATIONS)):
        (archive / "vocabulary" / f"{dataset}__{kind}.txt").write_text("\n".join(labels))
    (archive / "vocabulary" / "non_padded_namespaces.txt").write_text("*labels\n*tags\n")
    (archive / "config.json").write_text(json.dumps(_radgraph_config()))
    torch.save(_radgraph_weights(model, size.width, dataset), archive / "weights.th")
    return archive


def _radgraph_config() -> dict[str, Any]:
    embedder = {
        "type": "pretrained_transformer_mismatched",
        "model_name": "bert",
        "max_length": 512,
    }
    return {
        "dataset_reader": {
            "type": "dygie",
            "max_span_width": WIDEST,
            "token_indexers": {"bert": embedder},
        },
        "model": {
            "type": "dygie",
            "embedder": {"token_embedders": {"bert": embedder}},
            "initializer": {},
            "module_initializer": {},
            "feature_size": FEATURES,
            "max_span_width": WIDEST,
            "target_task": "relation",
            "feedforward_params": {"num_layers": 1, "hidden_dims": HIDDEN, "dropout": 0.4},
            "loss_weights": {"ner": 0.2, "relation": 1.0, "coref": 0.0, "events": 0.0},
            "modules": {
                "ner": {},
                "relation": {"spans_per_word": 0.5},
                "coref": {"spans_per_word": 0.3, "max_antecedents": 100, "coref_prop": 0},
                "events": {
                    "trigger_spans_per_word": 0.3,
                    "argument_spans_per_word": 0.8,
                    "loss_weights": {"trigger": 0.2, "arguments": 1.0},
                },
            },
        },
        "vocabulary": {},
    }


def _radgraph_weights(
    encoder: torch.nn.Module, width: int, dataset: str
) -> dict[str, torch.Tensor]:
    span = 2 * width + FEATURES
    ner, relation = f"{dataset}__ner_labels", f"{dataset}__relation_labels"
    pruner = f"_relation._mention_pruners.{relation}._scorer"
    layers = {
        f"_ner._ner_scorers.{ner}.0._module._linear_layers.0": (HIDDEN, span),
        f"_ner._ner_scorers.{ner}.1._module": (len(RADGRAPH_LABELS) - 1, HIDDEN),
        f"{pruner}.0._module._linear_layers.0": (HIDDEN, span),
        f"{pruner}.1._module": (1, HIDDEN),
        f"_relation._relation_feedforwards.{relation}._linear_layers.0": (HIDDEN, 3 * span),
        f"_relation._relation_scorers.{relation}": (len(RELATIONS), HIDDEN),
    }
    prefix = "_embedder.token_embedder_bert._matched_embedder.transformer_model."
    weights = {prefix + key: value for key, value in encoder.state_dict().items()}
    weights["_endpoint_span_extractor._span_width_embedding.weight"] = torch.randn(WIDEST, FEATURES)
    for name, (rows, columns) in layers.items():
        weights[f"{name}.weight"] = torch.randn(rows, columns) / columns**0.5
        weights[f"{name}.bias"] = torch.zeros(rows)
    # About one span in fifteen becomes an entity, as in what is published.
    weights[f"_ner._ner_scorers.{ner}.1._module.bias"] -= 1.5
    weights[f"_relation._relation_scorers.{relation}.bias"] -= 0.5
    return weights
