"""Metrics by name and profile. Classes are imported when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.names import unknown_name
from libra_bench.metrics.base import Metric


@dataclass(frozen=True)
class Entry:
    """Where a metric of a profile is, and what the profile sets in it."""

    path: str
    """`module:Class`."""
    description: str
    core: bool = True
    """Whether the profile scores it unasked: it needs no weights."""
    settings: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """Keys that a user may set."""


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
            settings={"cleaning": "libra"},
            options=("model", "layer", "idf", "baseline"),
        ),
        "chexbert": Entry(
            "libra_bench.metrics.chexbert:CheXbert",
            "F1 of CheXbert's labels over 14 and 5 observations",
            core=False,
            options=("checkpoint", "encoder"),
        ),
        "semb": Entry(
            "libra_bench.metrics.semb:Semb",
            "Mean cosine of CheXbert's report embeddings",
            core=False,
            options=("checkpoint", "encoder"),
        ),
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
    },
}


def create(name: str, profile: str = "libra", options: Mapping[str, str] | None = None) -> Metric:
    """The metric `name` of a profile. Nothing is loaded until `check` or `score`.

    Args:
        options: settings of a user, by key.

    Raises:
        InputError: an unknown profile, metric or option; the nearest right name is offered.
    """
    entry = _entry(name, profile)
    for key in options or {}:
        if key not in entry.options:
            if not entry.options:
                raise InputError(f"metric {name!r} of profile {profile!r} has no options")
            raise unknown_name(f"option of {name}", key, entry.options)
    settings: dict[str, Any] = {**entry.settings, **(options or {})}
    created: Metric = _class_of(entry)(**settings)
    return created


def names(profile: str) -> list[str]:
    """All metrics of a profile."""
    return list(_metrics(profile))


def core(profile: str) -> list[str]:
    """The metrics that a profile scores unasked."""
    return [name for name, entry in _metrics(profile).items() if entry.core]


def listing(profile: str | None = None) -> list[dict[str, Any]]:
    """What there is, a row a metric, for tables and `metrics --json`."""
    rows = []
    for chosen in [profile] if profile else PROFILES:
        for name, entry in _metrics(chosen).items():
            kind = _class_of(entry)
            first = kind.outputs[0]
            rows.append(
                {
                    "profile": chosen,
                    "name": name,
                    "description": entry.description,
                    "outputs": [output.name for output in kind.outputs],
                    "higher_is_better": first.higher_is_better,
                    "range": f"{first.low:g} to {first.high:g}",
                    "version": kind.version,
                    "requires": list(kind.requires),
                    "options": list(entry.options),
                }
            )
    return rows


def _metrics(profile: str) -> dict[str, Entry]:
    if profile not in PROFILES:
        raise unknown_name("profile", profile, PROFILES)
    return PROFILES[profile]


def _entry(name: str, profile: str) -> Entry:
    metrics = _metrics(profile)
    if name not in metrics:
        elsewhere = [other for other, entries in PROFILES.items() if name in entries]
        if elsewhere:
            raise InputError(
                f"metric {name!r} is not part of profile {profile!r}, but of "
                f"{' and '.join(elsewhere)}; {profile!r} has {', '.join(metrics)}"
            )
        raise unknown_name(f"metric of profile {profile!r}", name, metrics)
    return metrics[name]


def _class_of(entry: Entry) -> type[Metric]:
    module, _, name = entry.path.partition(":")
    found: type[Metric] = getattr(import_module(module), name)
    return found
