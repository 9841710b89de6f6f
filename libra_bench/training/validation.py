"""Choosing the best checkpoint by what the model writes, not by its loss alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from libra_bench.core.names import unknown_name
from libra_bench.core.records import Prediction
from libra_bench.generation.libra import LibraSystem
from libra_bench.generation.protocols import protocol
from libra_bench.metrics import registry
from libra_bench.model.loading import LoadedModel
from libra_bench.training.conversations import TrainingConversation
from libra_bench.training.module import TrainedLibra

PROFILE = "libra"
LONGEST = 256
"""New tokens at most: an untrained model never ends by itself."""


def metric_of(figure: str) -> tuple[str, bool]:
    """The metric that gives a figure (`bleu4`: `bleu`), and whether higher is better.

    Raises:
        InputError: no metric of the profile gives it; the nearest is offered.
    """
    known: dict[str, tuple[str, bool]] = {}
    for row in registry.listing(PROFILE):
        known |= dict.fromkeys(row["outputs"], (row["name"], row["higher_is_better"]))
    if figure not in known:
        raise unknown_name("figure for --generation_metric", figure, known)
    return known[figure]


def validator(
    loaded: LoadedModel,
    conversations: Sequence[TrainingConversation],
    image_root: Path,
    figure: str,
) -> Callable[[TrainedLibra], dict[str, float]]:
    """A function that writes reports with the model as it is now, and scores them.

    Decoding is greedy, in the fast engine.

    Raises:
        MissingResourceError: what the metric needs is not on this machine.
    """
    name, _ = metric_of(figure)
    metric = registry.create(name, PROFILE)
    metric.check()
    examples = [one.as_example() for one in conversations]

    def validate(module: TrainedLibra) -> dict[str, float]:
        decoding = protocol("greedy", max_new_tokens=LONGEST)
        system = LibraSystem(replace(loaded, model=module.model), image_root, decoding, "fast")
        found: dict[str, Prediction] = {}

        def hear(prediction: Prediction) -> None:
            found[prediction.question_id] = prediction

        for start in range(0, len(examples), system.chunk):
            system.generate(examples[start : start + system.chunk], hear)
        texts = [
            found[one.question_id].text if found[one.question_id].status == "ok" else None
            for one in examples
        ]
        report = metric.score(texts, [one.reference for one in examples])
        return {figure: float(metric.aggregate(report)[figure])}

    return validate
