"""Comparing runs with each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from libra_bench.core.columnar import read_parquet
from libra_bench.core.errors import InputError
from libra_bench.metrics import registry
from libra_bench.metrics.comparison import Comparison, compare
from libra_bench.metrics.scoring import scored_metrics
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.freshness import require_finished, require_fresh

if TYPE_CHECKING:
    import pandas as pd


def compare_runs(
    places: Sequence[Path],
    *,
    metrics: Sequence[str] | None = None,
    trials: int = 10_000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare runs on the same reports; the first is the baseline.

    Args:
        places: run folders or `scores.parquet` files.
        metrics: names as `registry.canonical` takes them; None, or `all`, for all that every run
            has scored.

    Raises:
        InputError: no scores, other reports, other profiles or settings.
    """
    frames = {_label(place, places): read_scores(place) for place in places}
    for place in places:
        folder = RunFolder(place if place.is_dir() else place.parent)
        # Also where the scores are named and not the run that they lie in.
        if place.is_dir() or (
            place.name == folder.scores_file.name and folder.manifest_file.is_file()
        ):
            _require_scored(folder)
    profiles = {str(frame["profile"].iloc[0]) for frame in frames.values()}
    if len(profiles) > 1:
        raise InputError(f"runs of different profiles cannot be compared: {sorted(profiles)}")
    shared = [
        name
        for name in scored_metrics(next(iter(frames.values())))
        if all(name in scored_metrics(frame) for frame in frames.values())
    ]
    profile = profiles.pop()
    asked = [name for name in metrics or [] if not registry.is_all(name)]
    named = registry.expand(asked, profile)
    missing = [name for name in named if name not in shared]
    if missing or not shared:
        raise InputError(
            f"not scored in every run: {', '.join(missing) or 'any metric'}; "
            f"scored in all: {', '.join(shared) or 'none'}"
        )
    only = bool(named) and len(asked) == len(metrics or [])
    chosen = [registry.create(name, profile) for name in (named if only else shared)]
    return compare(frames, chosen, trials=trials, seed=seed)


def _require_scored(folder: RunFolder) -> None:
    """Refuse a run that is unfinished, or whose scores are of other texts than it holds."""
    require_finished(folder)
    require_current(folder)


def require_current(folder: RunFolder) -> None:
    """Refuse a run whose scores are of other texts than it holds.

    Raises:
        InputError: as it says, or the run was not scored.
    """
    scores = read_scores(folder.path)
    require_fresh(folder, folder.summary(), scores, folder.examples(), folder.predictions())


def read_scores(place: Path) -> pd.DataFrame:
    """The scores of a run folder or of a Parquet file.

    Raises:
        InputError: none there, or no table of scores.
    """
    file = RunFolder.open(place).scores_file if place.is_dir() else place
    if not file.is_file():
        raise InputError(f"{file}: no scores there; the run has not been scored")
    if place.is_dir():
        RunFolder.open(place).require_unchanged(file)
    frame: pd.DataFrame = read_parquet(file).to_pandas(use_threads=False)
    if "profile" not in frame.columns or frame.empty:
        raise InputError(f"{file}: no scores of libra_bench in it")
    return frame


def _label(place: Path, places: Sequence[Path]) -> str:
    """The folder's name; its path where two have the same name."""
    names = [(one if one.is_dir() else one.parent).resolve().name for one in places]
    own = (place if place.is_dir() else place.parent).resolve().name
    return own if names.count(own) == 1 else str(place)
