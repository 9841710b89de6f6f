"""One way to do a job in hours, money and energy; several compared, and which one to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from libra_bench.core.names import unknown_name
from libra_bench.perf.cells import Basis, Cell, no_price
from libra_bench.perf.hardware import Gpu, find_gpu, table

HOURS_A_DAY = 24
SAME = 0.01
"""Times that differ by less are the same: no projection is better than that."""


@dataclass(frozen=True)
class Scenario:
    """One way to do it. A figure that cannot be told is None, and `gaps` says why."""

    gpu: str
    gpus: int
    hours: float | None
    cost_usd: float | None
    basis: Basis
    how: str
    usd_per_hour: float | None = None
    """Of one GPU."""
    price_source: str | None = None
    memory_gigabytes: float | None = None
    fits: bool | None = None
    kilowatt_hours: float | None = None
    break_even_speedup: float | None = None
    speedup: float | None = None
    gaps: tuple[str, ...] = ()

    @property
    def days(self) -> float | None:
        """Of 24 hours."""
        return None if self.hours is None else self.hours / HOURS_A_DAY

    @property
    def label(self) -> str:
        """The GPU, and how many of them where there are several."""
        return self.gpu if self.gpus == 1 else f"{self.gpus} × {self.gpu}"

    def brief(self) -> dict[str, Any]:
        """The figures that scripts rely on."""
        return {
            "gpu": self.gpu,
            "gpus": self.gpus,
            "hours": self.hours,
            "days": self.days,
            "cost_usd": self.cost_usd,
            "basis": self.basis,
        }


@dataclass(frozen=True)
class Plan:
    """Scenarios, the first of which is the baseline."""

    scenarios: list[Scenario]
    assumes: list[str]

    @property
    def break_even_speedup(self) -> float | None:
        """Of the first alternative: how much faster it must be to cost no more."""
        return self.scenarios[1].break_even_speedup if len(self.scenarios) > 1 else None

    def brief(self) -> dict[str, Any]:
        """What `perf plan --json` prints."""
        return {
            "scenarios": [one.brief() for one in self.scenarios],
            "break_even_speedup": self.break_even_speedup,
        }

    def recommendation(self) -> str:
        """Which GPU to take, and why."""
        able = [(one, one.hours) for one in self.scenarios if one.hours is not None]
        if not able:
            return (
                "None of these GPUs holds it: recompute activations, take a smaller micro-batch or "
                "fewer studies side by side, or a larger GPU."
            )
        fastest, soonest = min(able, key=lambda pair: pair[1])
        priced = [(one, hours, one.cost_usd) for one, hours in able if one.cost_usd is not None]
        if not priced:
            return f"{fastest.label} is the fastest; without prices nothing is said of cost."
        cheapest, hours, least = min(priced, key=lambda row: row[2])
        if hours <= soonest * (1 + SAME):
            return f"{cheapest.label}: none of these is cheaper, and none is faster."
        saved = hours - soonest
        earlier = f"{saved / HOURS_A_DAY:.1f} days" if saved >= HOURS_A_DAY else f"{saved:.2f} h"
        reason = (
            f"{cheapest.label} is the cheapest at {least:,.2f} USD; "
            f"{fastest.label} is done {earlier} earlier"
        )
        if fastest.cost_usd is None:
            return f"{reason}, at a price that is not known."
        extra = fastest.cost_usd - least
        return (
            f"{reason} for {extra:,.2f} USD more: {extra / saved:,.3f} USD for each hour saved. "
            "Take it where an hour of waiting is worth more than that."
        )


def scenario(
    gpu: Gpu,
    count: int,
    hours: Cell,
    price: tuple[float, str] | None,
    *,
    needed: float | None = None,
    gaps: tuple[str, ...] = (),
) -> Scenario:
    """What `hours` on `count` GPUs come to.

    Args:
        hours: without a figure the GPU cannot do it, and `how` says why; its basis stands.
        price: USD an hour of one GPU, and where that comes from.
        needed: bytes on each GPU.
    """
    value = hours.value
    if value is None:
        gaps = (*gaps, hours.how)
    if price is None:
        gaps = (*gaps, no_price(gpu))
    return Scenario(
        gpu=gpu.name,
        gpus=count,
        hours=value,
        cost_usd=None if price is None or value is None else value * count * price[0],
        basis=hours.basis or "projected",
        how=hours.how,
        usd_per_hour=None if price is None else price[0],
        price_source=None if price is None else price[1],
        memory_gigabytes=None if needed is None else needed / 1e9,
        fits=None if needed is None else gpu.holds(needed),
        kilowatt_hours=None if value is None else value * count * gpu.watts / 1000,
        gaps=gaps,
    )


def against_first(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Each with its speed-up over the first, and the one that it needs to cost no more."""
    first, made = scenarios[0], [scenarios[0]]
    for one in scenarios[1:]:
        even = faster = None
        if first.usd_per_hour is not None and one.usd_per_hour is not None:
            even = one.usd_per_hour / first.usd_per_hour
        if first.hours is not None and one.hours is not None:
            faster = first.hours / one.hours
        made.append(replace(one, break_even_speedup=even, speedup=faster))
    return made


def guide() -> Plan:
    """The arithmetic of a guide that is often repeated, and what it assumes.

    598 h on one RTX A6000; an H100 at 5.93 times its speed and 2.98 USD an hour.
    """
    facts = table("published.json")
    told = facts["guide"]
    hours = float(sum(facts["hours"].values()))
    slow, quick = find_gpu(facts["gpu"]), find_gpu(told["alternative"])
    rates = {name: (value, "the guide's") for name, value in told["usd_per_hour"].items()}
    speedup = told["speedup"]
    claimed = f"published hours ÷ {speedup:g}, the guide's claim"
    scenarios = [
        scenario(slow, 1, Cell(hours, "published", facts["source"]), rates[slow.id]),
        scenario(quick, 1, Cell(hours / speedup, "projected", claimed), rates[quick.id]),
    ]
    return Plan(against_first(scenarios), list(told["assumes"]))


def named(name: str) -> Plan:
    """A calculation by name.

    Raises:
        InputError: an unknown name.
    """
    if name != "guide":
        raise unknown_name("scenario", name, ["guide"])
    return guide()
