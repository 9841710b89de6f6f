"""What `libra-bench fetch` brings: the parts of models and metrics by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.names import unknown_name
from libra_bench.hub import lookup, remote
from libra_bench.hub.lookup import Source
from libra_bench.hub.remote import Page
from libra_bench.metrics import nltk_data, registry
from libra_bench.model import places, zoo

ALL_METRICS = "all-metrics"
ROUNDS = 3
"""A part may name another (an archive its encoder), which is known when the first is here."""

Options = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Wish:
    """A name that was asked for, with what it reads.

    Attributes:
        sources: of the hub.
        corpora: of NLTK, by their names there, that are not here.
    """

    name: str
    sources: tuple[Source, ...]
    corpora: tuple[str, ...] = ()


def wish(
    name: str, *, profile: str | None = None, options: Options | None = None, revision: str = ""
) -> list[Wish]:
    """What a name stands for, as far as this machine can tell now.

    Args:
        name: a model, a metric, `all-metrics`, a repository, or `OWNER/NAME/FILE` for one file.
        profile: whose form of a metric; of all profiles if None.
        options: metric options, as scoring takes them.
        revision: of the repository or model.

    Raises:
        InputError: an unknown name, or one of which there is nothing to fetch.
    """
    plain = name.partition("@")[0]
    if plain in zoo.ZOO or plain in {entry.hub_id for entry in zoo.ZOO.values()}:
        return [_of_model(name, revision)]
    if "/" in name and lookup.is_name("/".join(plain.split("/")[:2])):
        return [_of_repository(name, revision)]
    if name == ALL_METRICS or any(registry.has(name, one) for one in registry.PROFILES):
        if revision:
            raise InputError(f"--revision: {name} is no single repository; name that instead")
        return _of_metrics(name, profile, options or {})
    known = [*(one for one, entry in zoo.ZOO.items() if entry.hub_id), *metric_names(), ALL_METRICS]
    raise unknown_name("model, metric or OWNER/NAME of a repository", name, known)


def metric_names() -> list[str]:
    """Metrics that have something to fetch."""
    return sorted({one for profile in registry.PROFILES for one in registry.names(profile)})


def plan(wishes: Sequence[Wish]) -> list[Page]:
    """What the hub says of all repositories, each once.

    Raises:
        InputError: a repository, revision or file that is not there.
        RunError: the hub does not answer.
    """
    return [remote.read(one) for one in _sources(wishes)]


def fetch(
    again: Callable[[], list[Wish]],
    known: Sequence[Page] = (),
    on_step: Callable[[str], None] = lambda step: None,
) -> list[Page]:
    """Bring all that is wished for, and what that names in turn.

    Args:
        again: what is wished for, as this machine can tell when it is called.
        known: what `plan` has read already.

    Returns:
        what was read of the hub, with the commits.

    Raises:
        InputError, RunError: as of `remote.fetch`; what was fetched is kept.
    """
    read = {page.source: page for page in known}
    done: dict[Source, Page] = {}
    for _ in range(ROUNDS):
        wishes = again()
        sources = [one for one in _sources(wishes) if one not in done]
        pages = [read.get(one) or remote.read(one) for one in sources]
        corpora = list(dict.fromkeys(one for wished in wishes for one in wished.corpora))
        if not pages and not corpora:
            break
        remote.check_room(pages)
        for page in pages:
            remote.check_access(page)
        for page in pages:
            on_step(f"{page.source.name}: {remote.size_of(page.to_fetch)}")
            remote.fetch(page)
            done[page.source] = page
        for corpus in corpora:
            on_step(f"NLTK's {corpus}")
            nltk_data.download(corpus)
    return list(done.values())


def row(page: Page) -> dict[str, Any]:
    """A repository, for `--json` and the table."""
    return {
        "repository": page.source.repository,
        "revision": page.source.revision or "main",
        "commit": page.commit,
        "licence": page.licence,
        "gated": page.gated,
        "bytes": page.size,
        "bytes_to_fetch": page.to_fetch,
        "files": [{"path": one.path, "bytes": one.size, "here": one.here} for one in page.files],
    }


def _sources(wishes: Sequence[Wish]) -> list[Source]:
    return list(dict.fromkeys(source for wished in wishes for source in wished.sources))


def _at(name: str, revision: str) -> str:
    """A name with its revision, which may stand in it already."""
    if revision and "@" in name:
        raise InputError(f"{name}: a revision in the name and by --revision")
    return f"{name}@{revision}" if revision else name


def _of_model(name: str, revision: str) -> Wish:
    entry = zoo.find(_at(name, revision))
    if entry.hub_id is None:
        raise InputError(f"{entry.name} needs nothing that could be fetched")
    with lookup.asked() as sources:
        places.lacking(entry)
    return Wish(name, tuple(sources))


def _of_repository(name: str, revision: str) -> Wish:
    plain, _, revision = _at(name, revision).partition("@")
    owner, repository, *path = plain.split("/", 2)
    return Wish(name, (Source(_at(f"{owner}/{repository}", revision), tuple(path)),))


def _of_metrics(name: str, profile: str | None, options: Options) -> list[Wish]:
    profiles = [profile] if profile else list(registry.PROFILES)
    wishes = []
    for chosen in profiles:
        known = registry.names(chosen)
        if name == ALL_METRICS:
            names = known
        elif registry.has(name, chosen):
            names = [registry.canonical(name, chosen)]
        else:
            names = []
        wishes += [_of_metric(one, chosen, options) for one in names]
    if name != ALL_METRICS and not any(one.sources or one.corpora for one in wishes):
        raise InputError(f"{name} needs nothing that could be fetched")
    return wishes


def _of_metric(name: str, profile: str, options: Options) -> Wish:
    metric = registry.create(name, profile, options)
    with lookup.asked() as sources:
        metric.missing()
    needed = nltk_data.PACKAGES if "wordnet" in metric.requires else ()
    return Wish(name, tuple(sources), tuple(one for one in needed if not nltk_data.found(one)))
