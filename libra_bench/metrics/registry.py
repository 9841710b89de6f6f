"""Metrics by name and profile. Classes are imported when asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.names import unknown_name
from libra_bench.metrics.base import Metric
from libra_bench.metrics.profiles import PROFILES as PROFILES
from libra_bench.metrics.profiles import Entry

ALL = "all"
"""Stands for every metric of a profile."""


def create(
    name: str, profile: str = "libra", options: Mapping[str, Mapping[str, str]] | None = None
) -> Metric:
    """The metric `name` of a profile. Nothing is loaded until `check` or `score`.

    Args:
        name: as `canonical` takes it.
        options: settings of a user, by metric and key; those of other metrics do not matter,
            unless this one borrows from them or is made of them.

    Raises:
        InputError: an unknown profile, metric or option; the nearest right name is offered.
    """
    name = canonical(name, profile)
    entry = _metrics(profile)[name]
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
    """Several metrics of a profile, each once.

    Args:
        names: as `expand` takes them.

    Raises:
        InputError: as of `create`; options for a metric that none of these has to do with.
    """
    names = expand(names, profile)
    created = [create(name, profile, options) for name in names]
    made = _with_parts(names, profile)
    lent: dict[str, list[str]] = {}
    for name in made:
        for metric, _, key in _sources(_metrics(profile)[name]).values():
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
    parts = {part for name in names for part in _metrics(profile)[name].parts}
    return set(names) | (_with_parts(parts, profile) if parts else set())


def _sources(entry: Entry) -> dict[str, tuple[str, str, str]]:
    return {own: source.partition(".") for own, source in entry.borrows.items()}


def names(profile: str) -> list[str]:
    """All metrics of a profile."""
    return list(_metrics(profile))


def unasked(profile: str, options: Mapping[str, Mapping[str, str]] | None = None) -> list[str]:
    """The metrics that a profile scores where nobody names any.

    Its core is always among them, so that what is missing is told; some others are where all that
    they need is on this machine, or where an option of theirs is set.
    """
    return [
        name
        for name, entry in _metrics(profile).items()
        if entry.core
        or name in (options or {})
        or (entry.where_present and create(name, profile, options).gap() is None)
    ]


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


def canonical(name: str, profile: str) -> str:
    """The registry's name of a metric, as papers and people write it.

    Case, blanks and the marks `-` and `_` do not matter (`RaTEScore`, `ROUGE-L`). A figure, or its
    title, names the metric that gives it (`RG_ER`, `bleu4`, `CheXbert-14 micro F1`).

    Raises:
        InputError: an unknown profile or metric; the nearest right name is offered.
    """
    metrics = _metrics(profile)
    if name in metrics:
        return name
    found = _named(name, profile)
    if found is not None:
        return found
    elsewhere = [other for other in PROFILES if other != profile and _named(name, other)]
    if elsewhere:
        raise InputError(
            f"metric {name!r} is not part of profile {profile!r}, but of "
            f"{' and '.join(elsewhere)}; {profile!r} has {', '.join(metrics)}"
        )
    near = difflib.get_close_matches(name.lower(), list(metrics), n=1)
    raise unknown_name(f"metric of profile {profile!r}", name, metrics, near)


def has(name: str, profile: str) -> bool:
    """Whether a profile has a metric that `canonical` knows by `name`."""
    return _named(name, profile) is not None


def expand(names: Iterable[str], profile: str) -> list[str]:
    """The registry's names for what a user names; `all` for every metric; each once.

    Raises:
        InputError: as of `canonical`.
    """
    found: dict[str, None] = {}
    for name in names:
        every = is_all(name)
        found.update(dict.fromkeys(_metrics(profile) if every else [canonical(name, profile)]))
    return list(found)


def is_all(name: str) -> bool:
    """Whether a name stands for every metric of a profile."""
    return _plain(name) == ALL


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character not in "-_ \t")


def _named(name: str, profile: str) -> str | None:
    """The metric of a profile that has this name, or a figure of this name or title."""
    wanted, metrics = _plain(name), _metrics(profile)
    for metric in metrics:
        if _plain(metric) == wanted:
            return metric
    for metric, entry in metrics.items():
        outputs = _class_of(entry).outputs
        if any(wanted in (_plain(one.name), _plain(one.title)) for one in outputs):
            return metric
    return None


def _class_of(entry: Entry) -> type[Metric]:
    module, _, name = entry.path.partition(":")
    found: type[Metric] = getattr(import_module(module), name)
    return found
