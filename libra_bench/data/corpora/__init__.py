"""Corpora by name. Adding one is one file with a `load` function, and one line here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError, cause_of
from libra_bench.core.fields import REXRANK
from libra_bench.core.files import listing
from libra_bench.core.ids import is_missing
from libra_bench.core.names import unknown_name
from libra_bench.core.records import Example
from libra_bench.data.cohort import Cohort
from libra_bench.data.reporting import REPORT, SECTIONS

CORPORA = {
    "synthetic": "libra_bench.data.corpora.synthetic",
    "mimic-cxr": "libra_bench.data.corpora.mimic_cxr",
    "rexrank": "libra_bench.data.corpora.rexrank",
    "openi": "libra_bench.data.corpora.openi",
    "jsonl": "libra_bench.data.corpora.jsonl",
    "parquet": "libra_bench.data.corpora.parquet",
    "r2gen": "libra_bench.data.corpora.r2gen",
    "chexpert-plus": "libra_bench.data.corpora.chexpert_plus",
    "rexgradient": "libra_bench.data.corpora.rexgradient",
    "padchest-gr": "libra_bench.data.corpora.padchest_gr",
}
WITHOUT_PATH = ("synthetic", "mimic-cxr")
"""Kinds that know where they are, or are told by the environment."""
WITHOUT_PRIOR = "none"
IMPRESSION_LABEL = "Impression:"
"""What a whole report has where the corpus has impressions."""


UNNAMED = "unnamed"
"""The split of studies that name none."""
USUAL = "test"
"""The split that is taken unasked: where no study names one, all are evaluated."""


class NoSplitsError(InputError):
    """A split was asked of a corpus in which no study names one."""


def load(
    spec: str,
    *,
    split: str | None = None,
    prior_policy: str | None = None,
    section: str = "findings",
    limit: int | None = None,
) -> Cohort:
    """Load a corpus.

    Args:
        spec: `synthetic`, or `KIND:PATH`; `mimic-cxr` alone where `LIBRA_BENCH_MIMIC_CXR` names
            its folder.
        split: train, validate or test; None for all. Corpora whose studies name no split are
            taken whole, and only as `test`.
        prior_policy: the rule that chooses the prior image; None for the corpus' own, `none` for
            the current image alone.
        section: findings, impression, or report: both together.
        limit: at most so many examples, the first ones.

    Raises:
        InputError: an unknown kind, policy, split or section, or files that cannot be used.
    """
    _check_types(spec, split, prior_policy, section, limit)
    kind, _, path = spec.partition(":")
    if kind not in CORPORA:
        raise unknown_name("kind of data", kind, CORPORA)
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: at least 1 was expected")
    if path.startswith("~"):
        path = str(Path(path).expanduser())  # No shell expands a ~ behind a colon.
    if not path and kind not in WITHOUT_PATH:
        raise InputError(f"--data {kind}: name its place as {kind}:PATH")
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # Each reader says what it misses.
    except (OSError, ValueError) as error:  # A name that no file can have.
        said = cause_of(error)
        raise InputError(f"--data {kind}: {path[:80]!r}: cannot be read ({said})") from None
    if section not in SECTIONS:
        raise unknown_name("section", section, SECTIONS)
    cohort: Cohort = import_module(CORPORA[kind]).load(
        path, split=split, prior_policy=prior_policy, section=section
    )
    _refuse_twice(spec, cohort.examples)
    if prior_policy == WITHOUT_PRIOR:
        cohort.examples = [
            one.model_copy(update={"image": one.image[:1], "prior_policy": WITHOUT_PRIOR})
            for one in cohort.examples
        ]
    if section == REPORT and not any(map(_has_impression, cohort.examples)):
        raise InputError(
            f"--section report: {kind} has no impressions; findings alone are --section findings"
        )
    _without_splits(spec, split, cohort)
    cohort.examples = cohort.examples[:limit]
    cohort.spec = spec
    cohort.settings = {"section": section, **cohort.settings}
    return cohort


def _has_impression(example: Example) -> bool:
    """Whether a whole report has one; ReXrank's are written in the words of each site."""
    own = (example.model_extra or {}).get(REXRANK)
    told = isinstance(own, dict) and not is_missing(own.get("section_impression"))
    return told or IMPRESSION_LABEL in example.reference


def _without_splits(spec: str, split: str | None, cohort: Cohort) -> None:
    """Record no split where no study names one, and refuse one that was chosen.

    Raises:
        NoSplitsError: as it says.
    """
    if split is None or not cohort.examples or any(one.split for one in cohort.examples):
        return
    if split != USUAL:
        raise NoSplitsError(
            f"--split {split}: no study of {spec} names a split, so that none can be chosen; "
            "without --split all are evaluated"
        )
    cohort.settings = {**cohort.settings, "split": UNNAMED}


def _check_types(spec: Any, split: Any, prior_policy: Any, section: Any, limit: Any) -> None:
    """A notebook may hand over anything; the shell texts and numbers alone."""
    if not isinstance(spec, str):
        raise InputError(f"data {spec!r:.80}: a text such as 'jsonl:FILE' was expected")
    for name, value in (("split", split), ("prior_policy", prior_policy), ("section", section)):
        if not isinstance(value, str) and (value is not None or name == "section"):
            raise InputError(f"{name} {value!r:.80}: a name was expected")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool)):
        raise InputError(f"limit {limit!r:.80}: a whole number was expected")


def _refuse_twice(spec: str, examples: Sequence[Example]) -> None:
    """Refuse studies of one id; two spellings (`5`, `5.0`) may become one when ids are read."""
    counts = Counter(one.question_id for one in examples)
    twice = [f"id {one!r} stands {n} times" for one, n in counts.items() if n > 1]
    if twice:
        raise InputError(f"{spec}: {listing(twice)}")


def refuse_report(kind: str, section: str) -> None:
    """For corpora that hold one text a study.

    Raises:
        InputError: the whole report was asked for.
    """
    if section == REPORT:
        raise InputError(
            f"--section report: {kind} holds one text a study, not findings and impression apart"
        )


def refuse_policy(kind: str, prior_policy: str | None) -> None:
    """For corpora whose prior images are given or absent: only `none` can be asked of them.

    Raises:
        InputError: another policy.
    """
    if prior_policy not in (None, WITHOUT_PRIOR):
        raise InputError(
            f"--prior-policy {prior_policy}: {kind} does not say when its studies were made; "
            "only `none` can be chosen"
        )
