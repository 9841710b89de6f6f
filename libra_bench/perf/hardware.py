"""GPUs with their dense peaks, and dated prices: data that a user can override."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from libra_bench.core.errors import InputError
from libra_bench.core.files import explain, listing, read_json
from libra_bench.core.names import unknown_name


class Gpu(BaseModel):
    """One kind of GPU. Peaks are dense: without structured sparsity, at boost clocks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    tflops_bf16: float = Field(gt=0)
    """10^12 floating-point operations a second in bfloat16 on tensor cores."""
    terabytes_per_second: float = Field(gt=0)
    """Memory bandwidth, 10^12 bytes a second."""
    gigabytes: float = Field(gt=0)
    """Memory, 10^9 bytes."""
    watts: float = Field(gt=0)
    devices: list[str]
    """Parts of the names under which drivers know it."""
    source: str

    @property
    def flops(self) -> float:
        """Operations a second."""
        return self.tflops_bf16 * 1e12

    @property
    def bandwidth(self) -> float:
        """Bytes a second."""
        return self.terabytes_per_second * 1e12

    def holds(self, size: float) -> bool:
        """Whether `size` bytes fit beside the reserve for fragmentation and the CUDA context."""
        return size <= 1e9 * self.gigabytes * (1 - assumption("reserve"))


class Price(BaseModel):
    """What an hour of one GPU costs somewhere, on some day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu: str
    usd_per_hour: float = Field(gt=0, allow_inf_nan=False)
    provider: str
    tier: Literal["on-demand", "community", "spot", "reserved"] = "on-demand"
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    source: str
    certainty: Literal["H", "M", "L"] = "H"
    """H: read on the provider's own page; M: in a third party's transcript; L: unverified."""


@cache
def gpus() -> dict[str, Gpu]:
    """Known GPUs by id."""
    return {one.id: one for one in TypeAdapter(list[Gpu]).validate_python(table("gpus.json"))}


def find_gpu(name: str) -> Gpu:
    """The GPU of that id, name or driver's name, in any case.

    Raises:
        InputError: an unknown one; the nearest is offered.
    """
    wanted = _plain(name)
    for one in gpus().values():
        if wanted in (_plain(known) for known in (one.id, one.name, *one.devices)):
            return one
    # "h100" means one of its own, and not the h200 that differs by one letter.
    begun = [known for known in gpus() if wanted and known.startswith(wanted)]
    raise unknown_name("GPU", name, gpus(), near=begun)


def find_gpus(names: Sequence[str]) -> list[Gpu]:
    """The GPUs of these names, each once, in their order.

    Raises:
        InputError: none was named, or an unknown one.
    """
    if not names:
        raise InputError(f"no GPU was named. Known: {', '.join(gpus())}")
    return list({one.id: one for one in map(find_gpu, names)}.values())


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", name.strip().lower()).removeprefix("nvidia-")


def gpu_of_device(device_name: str) -> Gpu | None:
    """The GPU that a driver calls `device_name`; None where the table has none."""
    for one in gpus().values():
        # Whole words: a GH200 is no H200, an L40S no L40.
        if any(re.search(rf"(?<!\w){re.escape(part)}(?!\w)", device_name) for part in one.devices):
            return one
    return None


EXAMPLE = (
    '{"gpu": "a6000", "usd_per_hour": 0.5, "provider": "ours", "date": "2026-11-01", '
    '"source": "invoice"}'
)


def read_prices(path: Path | None = None) -> list[Price]:
    """The packaged prices, or those of a file of the same form: a list of objects.

    Args:
        path: replaces the packaged prices; a GPU that it leaves out has no price.

    Raises:
        InputError: entries of another form, a price that is not positive, an unknown GPU; all
            faults are listed.
    """
    rows = table("prices.json") if path is None else read_json(path)
    where = "prices.json" if path is None else str(path)
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{where}: a list of prices was expected, each as {EXAMPLE}")
    prices, faults = [], []
    for number, row in enumerate(rows, start=1):
        try:
            price = Price.model_validate(row)
            find_gpu(price.gpu)
        except ValidationError as error:
            faults += [f"price {number}: {text}" for text in explain(error)]
        except InputError as error:
            faults.append(f"price {number}: {error}")
        else:
            prices.append(price)
    if faults:
        raise InputError(f"{where}: " + listing(faults))
    return prices


def price_of(gpu: Gpu, prices: list[Price]) -> tuple[float, str] | None:
    """USD an hour and where it comes from: the median of on-demand prices, else of all.

    None where the list has no price of this GPU.
    """
    own = [one for one in prices if find_gpu(one.gpu) is gpu]
    chosen = [one for one in own if one.tier == "on-demand"] or own
    if not chosen:
        return None
    value = statistics.median(one.usd_per_hour for one in chosen)
    names = ", ".join(f"{one.provider} {one.usd_per_hour:g} ({one.date})" for one in chosen)
    return value, f"median of {names}" if len(chosen) > 1 else names


def table(name: str) -> Any:
    """A packaged table."""
    folder = resources.files("libra_bench.perf") / "tables"
    return json.loads((folder / name).read_text(encoding="utf-8"))


def assumption(name: str) -> float:
    """A packaged assumption of projections."""
    return float(table("assumptions.json")[name]["value"])
