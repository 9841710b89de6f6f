"""Which metrics a profile has, where each is, and what the profile sets in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Entry:
    """Where a metric of a profile is, and what the profile sets in it."""

    path: str
    """`module:Class`."""
    description: str
    core: bool = True
    """Whether the profile scores it unasked, and says so where it cannot."""
    where_present: bool = False
    """Whether the profile scores it unasked where all that it needs is on this machine."""
    settings: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """Keys that a user may set."""
    borrows: Mapping[str, str] = field(default_factory=dict)
    """Own keys, and the option of another metric, `metric.key`, whose value they take if unset."""
    parts: tuple[str, ...] = ()
    """Metrics of the same profile that this one is made of."""


_RATESCORE = Entry(
    "libra_bench.metrics.ratescore.metric:RaTEScore",
    "Mean similarity of medical entities, weighed by their kinds",
    options=("ner", "encoder", "matrix"),
)
_SEMB = Entry(
    "libra_bench.metrics.semb:Semb",
    "Mean cosine of CheXbert's report embeddings",
    core=False,
    options=("checkpoint", "encoder"),
    borrows={"checkpoint": "chexbert.checkpoint", "encoder": "chexbert.encoder"},
)
_GREEN = Entry(
    "libra_bench.metrics.green:Green",
    "Mean share of matched findings among these and errors, by a language model",
    core=False,
    options=("model",),
)

PROFILES: dict[str, dict[str, Entry]] = {
    "libra": {
        "bleu": Entry(
            "libra_bench.metrics.bleu:Bleu",
            "Corpus BLEU-1 to BLEU-4 over 13a tokens, unsmoothed",
            settings={"cleaning": "libra"},
        ),
        "meteor": Entry(
            "libra_bench.metrics.meteor:Meteor",
            "Mean METEOR (NLTK) with stems and WordNet synonyms",
            settings={"cleaning": "libra"},
        ),
        "rouge_l": Entry(
            "libra_bench.metrics.rouge_l:RougeL",
            "Mean F1 of the longest common subsequence",
            settings={"cleaning": "libra"},
        ),
        "temporal_f1": Entry(
            "libra_bench.metrics.temporal_f1:TemporalF1",
            "Mean F1 between sets of words of change",
            settings={"cleaning": "libra"},
        ),
        "bertscore": Entry(
            "libra_bench.metrics.bertscore:BertScore",
            "Mean F1 of contextual embeddings matched greedily",
            core=False,
            where_present=True,
            settings={"cleaning": "libra"},
            options=("model", "layer", "idf", "baseline"),
        ),
        "chexbert": Entry(
            "libra_bench.metrics.chexbert:CheXbert",
            "F1 of CheXbert's labels over 14 and 5 observations",
            core=False,
            where_present=True,
            options=("checkpoint", "encoder"),
        ),
        "semb": _SEMB,
        "ratescore": _RATESCORE,
        "radgraph": Entry(
            "libra_bench.metrics.radgraph.metric:RadGraph",
            "Mean F1 of RadGraph's entities (RG_E), with relations (RG_ER, RG_bar_ER)",
            options=("archive", "encoder", "lowercase"),
        ),
        "green": _GREEN,
    },
    "coco": {
        "bleu": Entry(
            "libra_bench.metrics.coco_bleu:CocoBleu",
            "Corpus BLEU-1 to BLEU-4 over PTB tokens without punctuation",
        ),
        "meteor": Entry(
            "libra_bench.metrics.coco_meteor:CocoMeteor",
            "Corpus METEOR 1.5 with stems, synonyms and paraphrases",
        ),
        "rouge_l": Entry(
            "libra_bench.metrics.coco_rouge_l:CocoRougeL",
            "Mean F-measure (beta 1.2) of the longest common subsequence",
        ),
        "cider": Entry(
            "libra_bench.metrics.cider:Cider",
            "Mean CIDEr-D: n-grams weighted by their rarity among the references",
        ),
    },
    "rexrank": {
        "bleu": Entry(
            "libra_bench.metrics.rexrank_bleu:RexrankBleu",
            "Mean sentence BLEU-2 over words, smoothed",
        ),
        "bertscore": Entry(
            "libra_bench.metrics.bertscore:RescaledBertScore",
            "Mean F1 of contextual embeddings, rescaled by its baseline",
            options=("model", "layer", "idf", "baseline"),
        ),
        "semb": replace(_SEMB, core=True),
        "radgraph": Entry(
            "libra_bench.metrics.radgraph.metric:RadGraphV1",
            "Mean of entity F1 and relation F1 of RadGraph's first model",
            options=("archive", "encoder"),
        ),
        "radcliq": Entry(
            "libra_bench.metrics.radcliq:RadCliQ",
            "Errors that radiologists would count, predicted from the four above",
            parts=("radgraph", "bertscore", "semb", "bleu"),
        ),
        "ratescore": _RATESCORE,
        "green": replace(_GREEN, core=True),
    },
}
