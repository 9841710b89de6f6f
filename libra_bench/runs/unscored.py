"""What could not be scored: nothing at all, or a metric that was asked for by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from libra_bench.core.errors import InputError


def refuse_nothing(texts: Sequence[str | None], references: Sequence[str | None]) -> None:
    """Refuse pairs of which none can be scored, before any metric works on them.

    Raises:
        InputError: no pair has both a prediction and a reference that is not blank.
    """
    there = [one is not None for one in texts]
    known = [bool(one and one.strip()) for one in references]
    if any(text and reference for text, reference in zip(there, known, strict=True)):
        return
    raise InputError(
        f"nothing can be scored: of {len(there)} reports {sum(there)} have a prediction and "
        f"{sum(known)} a reference, none has both"
    )


def named_but_unscored(summary: Mapping[str, Any], named: Sequence[str] | None) -> list[str]:
    """Metrics that were asked for by name and have no figure.

    Args:
        summary: a run's summary, or what `score` prints.
        named: as the user named them; None where the profile's own were taken. `all` names none:
            who asks for all there is takes what there is.
    """
    from libra_bench.metrics import registry

    profile = summary.get("profile") or summary.get("run", {}).get("profile") or "libra"
    meant = registry.expand([one for one in named or () if not registry.is_all(one)], profile)
    scored = {figure["metric"] for figure in summary["metrics"].values() if figure["n"] > 0}
    return [name for name in meant if name not in scored]
