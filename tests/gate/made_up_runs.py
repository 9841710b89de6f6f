"""Made-up runs for the gate's tests: folders as `run` leaves them, from texts alone."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from libra_bench.core.records import Example, Prediction
from libra_bench.runs.folder import RunFolder
from libra_bench.runs.scoring import ScoringSettings, score_run

FINDINGS = (
    "The heart is normal in size.",
    "The lungs are clear.",
    "There is a small left pleural effusion.",
    "There is no pneumothorax.",
    "The opacity in the right lower lobe has increased.",
    "The mediastinum is unremarkable.",
    "Bony structures are intact.",
    "A central line ends in the right atrium.",
    "Mild edema is unchanged.",
    "No focal consolidation is seen.",
)


def report(draw: random.Random, size: int) -> str:
    """A text of so many sentences."""
    return " ".join(draw.sample(FINDINGS, size))


def cohort(count: int = 120, seed: int = 0) -> tuple[list[str], list[str]]:
    """Predictions and references: each prediction is its reference with a sentence replaced."""
    draw = random.Random(seed)
    references = [report(draw, draw.randint(3, 6)) for _ in range(count)]
    texts = []
    for reference in references:
        parts = sentences(reference)
        parts[draw.randrange(len(parts))] = draw.choice(FINDINGS)
        texts.append(" ".join(parts))
    return texts, references


def sentences(text: str) -> list[str]:
    return [f"{part}." for part in text.rstrip(".").split(". ")]


def cut(texts: Sequence[str], share: float, seed: int = 3) -> list[str]:
    """The last sentence cut from a share of the texts."""
    draw = random.Random(seed)
    return [" ".join(sentences(t)[:-1]) if draw.random() < share else t for t in texts]


def make_run(
    path: Path,
    texts: Sequence[str | None],
    references: Sequence[str],
    *,
    patients: Callable[[int], str | None] = lambda n: f"p{n // 2}",
    decoding: str = "greedy,max_new_tokens=64",
    weights: str = "w1",
    metrics: Sequence[str] = ("bleu", "rouge_l"),
    profile: str = "libra",
    ids: Callable[[int], str] = lambda n: f"study-{n}",
    tokens: Callable[[int], int | None] = lambda n: 20,
    fields: Callable[[int], dict[str, Any]] = lambda n: {"view": "PA" if n % 2 else "AP"},
) -> Path:
    """A scored run folder; a text of None is a failed report."""
    examples = [
        Example(
            question_id=ids(n),
            text="Describe the findings.",
            reference=reference,
            subject_id=patients(n),
            **fields(n),
        )
        for n, reference in enumerate(references)
    ]
    predictions = [
        Prediction(
            question_id=ids(n),
            text=text or "",
            status="failed" if text is None else "ok",
            model_id="made-up",
            new_tokens=tokens(n),
            metadata={"decoding": decoding, "weights": weights},
        )
        for n, text in enumerate(texts)
    ]
    folder = RunFolder.create(path, arguments={}, resolved={})
    folder.write_examples(examples, [])
    lines = [json.dumps(one.model_dump(exclude_none=True)) for one in predictions]
    folder.predictions_file.write_text("\n".join(lines) + "\n")
    facts = {"cohort": "made up", "model_id": "made-up", "protocol": {"name": "greedy"}}
    settings = ScoringSettings(metrics=metrics, profile=profile, trials=20)
    score_run(folder, settings, facts=facts)
    folder.set_status("finished")
    return path
