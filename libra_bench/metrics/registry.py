"""Metrics by name and profile. Classes are imported when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    borrows: Mapping[str, str] = field(default_factory=dict)
    """Own keys, and the option of another metric, `metric.key`, whose value they take if unset."""
    parts: tuple[str, ...] = ()
    """Metrics of the same profile that this one is made of."""


_RATESCORE = Entry(
    "libra_bench.metrics.ratescore.metric:RaTEScore",
    "Mean similarity of medical entities, weighed by their kinds",
    core=False,
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
            settings={"cleaning": "libra"},
            options=("model", "layer", "idf", "baseline"),
        ),
        "chexbert": Entry(
            "libra_bench.metrics.chexbert:CheXbert",
            "F1 of CheXbert's labels over 14 and 5 observations",
            core=False,
            options=("checkpoint", "encoder"),
        ),
        "semb": _SEMB,
        "ratescore": _RATESCORE,
        "radgraph": Entry(
            "libra_bench.metrics.radgraph.metric:RadGraph",
            "Mean F1 of RadGraph's entities (RG_E), with relations (RG_ER, RG_bar_ER)",
            core=False,
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
            core=False,
            options=("model", "layer", "idf", "baseline"),
        ),
        "semb": _SEMB,
        "radgraph": Entry(
            "libra_bench.metrics.radgraph.metric:RadGraphV1",
            "Mean of entity F1 and relation F1 of RadGraph's first model",
            core=False,
            options=("archive", "encoder"),
        ),
        "radcliq": Entry(
            "libra_bench.metrics.radcliq:RadCliQ",
            "Errors that radiologists would count, predicted from the four above",
            core=False,
            parts=("radgraph", "bertscore", "semb", "bleu"),
        ),
        "ratescore": _RATESCORE,
        "green": _GREEN,
    },
}


def create(
    name: str, profile: str = "libra", options: Mapping[str, Mapping[str, str]] | None = None
) -> Metric:
    """The metric `name` of a profile. Nothing is loaded until `check` or `score`.

    Args:
        options: settings of a user, by metric and key; those of other metrics do not matter,
            unless this one borrows from them or is made of them.

    Raises:
        InputError: an unknown profile, metric or option; the nearest right name is offered.
    """
    entry = _entry(name, profile)
    given = options or {}
    borrowed = {
        own: given[metric][key]
        for own, (metric, _, key) in _sources(entry).items()
        if key in given.get(metric, {})
    }
    for key in given.get(name, {}):
        if key not in entry.options:
            if not entry.options:
                raise InputError(f"metric {name!r} of profile {profile!r} has no options")
            raise unknown_name(f"option of {name}", key, entry.options)
    settings: dict[str, Any] = {**entry.settings, **borrowed, **given.get(name, {})}
    if entry.parts:
        settings["parts"] = {part: create(part, profile, options) for part in entry.parts}
    created: Metric = _class_of(entry)(**settings)
    return created


def create_all(
    names: Sequence[str],
    profile: str = "libra",
    options: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Metric]:
    """Several metrics of a profile.

    Raises:
        InputError: as of `create`; options for a metric that none of these has to do with.
    """
    created = [create(name, profile, options) for name in names]
    made = _with_parts(names, profile)
    lent: dict[str, list[str]] = {}
    for name in made:
        for metric, _, key in _sources(_entry(name, profile)).values():
            lent.setdefault(metric, []).append(key)
    strangers = sorted(set(options or {}) - made - set(lent))
    if strangers:
        raise InputError(
            f"--metric-option for {', '.join(strangers)}, which --metrics does not name"
        )
    for metric in sorted(set(options or {}) - made):
        for key in (options or {})[metric]:
            if key not in lent[metric]:
                raise unknown_name(f"option of {metric}", key, lent[metric])
    return created


def _with_parts(names: Iterable[str], profile: str) -> set[str]:
    """Metrics and all that they are made of."""
    parts = {part for name in names for part in _entry(name, profile).parts}
    return set(names) | (_with_parts(parts, profile) if parts else set())


def _sources(entry: Entry) -> dict[str, tuple[str, str, str]]:
    return {own: source.partition(".") for own, source in entry.borrows.items()}


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
