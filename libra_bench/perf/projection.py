"""Seconds that were not measured, part by part, from operations, bytes and a GPU's peaks.

Each part takes the longest of three times: its operations at the arithmetic peak × utilisation, its
bytes at the bandwidth × utilisation, and what Python needs to launch its kernels. There is no one
factor between two GPUs: training is bound by arithmetic, decoding by bandwidth or by the host.
"""

from __future__ import annotations

from dataclasses import dataclass

from libra_bench.perf import count, count_training
from libra_bench.perf.count import Cost
from libra_bench.perf.hardware import Gpu, assumption
from libra_bench.perf.shape import ModelShape


@dataclass(frozen=True)
class Utilisation:
    """Fractions of the dense peaks that real work reaches, and the host's own pace."""

    arithmetic: float
    bandwidth: float
    host_seconds_per_layer: float

    @classmethod
    def assumed(cls) -> Utilisation:
        """The packaged assumptions."""
        return cls(
            assumption("arithmetic_utilisation"),
            assumption("bandwidth_utilisation"),
            assumption("host_seconds_per_layer"),
        )

    def __str__(self) -> str:
        return (
            f"arithmetic at {self.arithmetic:.0%} and bandwidth at {self.bandwidth:.0%} of the "
            f"dense peaks, {1e3 * self.host_seconds_per_layer:g} ms a layer to launch"
        )


@dataclass(frozen=True)
class Part:
    """Projected seconds of one part, and what binds it: `arithmetic`, `bandwidth` or `host`."""

    seconds: float
    bound: str


def project(cost: Cost, gpu: Gpu, use: Utilisation, *, launches: float = 0.0) -> Part:
    """The longest of the three times.

    Args:
        launches: layers launched from Python, over all calls.
    """
    times = {
        "arithmetic": cost.flops / (gpu.flops * use.arithmetic),
        "bandwidth": cost.bytes / (gpu.bandwidth * use.bandwidth),
        "host": launches * use.host_seconds_per_layer,
    }
    bound = max(times, key=lambda name: times[name])
    return Part(times[bound], bound)


@dataclass(frozen=True)
class Workload:
    """What one report takes: decoding and lengths."""

    beams: int = 10
    new_tokens: int = 128
    prompt: int = 96
    side_by_side: int = 8
    prior_share: float = 1.0
    engine: str = "fast"

    @property
    def studies(self) -> int:
        """Studies of one round: the reference runs one at a time."""
        return self.side_by_side if self.engine == "fast" else 1

    @property
    def recorded(self) -> dict[str, object]:
        """What a measurement of this work has among its settings."""
        settings: dict[str, object] = {
            "engine": self.engine,
            "beams": self.beams,
            "new_tokens": self.new_tokens,
        }
        return settings | ({"side_by_side": self.studies} if self.engine == "fast" else {})

    def __str__(self) -> str:
        together = f", {self.side_by_side} studies side by side" if self.engine == "fast" else ""
        return f"{self.engine} engine, {self.beams} beams, {self.new_tokens} tokens{together}"


def generation(shape: ModelShape, gpu: Gpu, work: Workload, use: Utilisation) -> dict[str, Part]:
    """Seconds of each part for one report."""
    studies = work.studies
    counted = count.generation(
        shape,
        studies=studies,
        beams=work.beams,
        prompt=work.prompt,
        new_tokens=work.new_tokens,
        side_by_side=studies,
        prior_share=work.prior_share,
        engine=work.engine,
    )
    launches = {
        "encode": 2 * studies * shape.tower_layers,
        "connect": studies * 3,
        "prefill": studies * shape.layers,
        "decode": counted.steps * shape.layers,
    }
    parts = {}
    for name, cost in counted.parts().items():
        part = project(cost, gpu, use, launches=launches[name])
        parts[name] = Part(part.seconds / studies, part.bound)
    return parts


def generation_memory(shape: ModelShape, work: Workload) -> float:
    """Bytes that a workload needs on a GPU, estimated."""
    return count_training.generation_memory(
        shape,
        side_by_side=work.studies,
        beams=work.beams,
        prompt=work.prompt,
        new_tokens=work.new_tokens,
        engine=work.engine,
    ).total


def training_step(
    shape: ModelShape,
    stage: str,
    gpu: Gpu,
    use: Utilisation,
    *,
    batch: int,
    text: int,
    recompute: bool,
    micro_batch: int = 1,
) -> dict[str, Part]:
    """Seconds of each part of one optimizer step.

    Products and the passes over activations are kernels of their own, one after the other: the
    first are bound by arithmetic and the second by bandwidth, so both are parts.
    """
    step = count_training.step(
        shape, stage, batch=batch, text=text, recompute=recompute, micro_batch=micro_batch
    )
    return {
        name: project(cost, gpu, use, launches=step.launches.get(name, 0.0))
        for name, cost in step.parts().items()
    }


def total(parts: dict[str, Part]) -> float:
    """Seconds of all parts together: they run one after the other."""
    return sum(part.seconds for part in parts.values())


def bounds(parts: dict[str, Part]) -> str:
    """What binds each part and how much of the time it takes, in words."""
    whole = total(parts)
    return ", ".join(
        f"{name} {part.bound}-bound {part.seconds / whole:.0%}" for name, part in parts.items()
    )
