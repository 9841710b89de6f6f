"""Asks the published packages; run with the Python of an environment of theirs.

    python benchmarks/upstream_metrics.py ratescore|radgraph|sentences FOLDER PAIRS.json

Prints one line of JSON: seconds and processor seconds for all pairs, without loading, and what the
package says.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

Seconds = tuple[float, float]
"""Of the clock, and of the processor."""


def now() -> Seconds:
    return time.perf_counter(), time.process_time()


def since(start: Seconds) -> Seconds:
    clock, processor = now()
    return clock - start[0], processor - start[1]


def sentences(folder: Path, predictions: list[str], references: list[str]) -> tuple[Seconds, list]:
    """The sentences of the predictions and of the references."""
    from loguru import logger
    from RaTEScore.utils import nlp

    logger.remove()
    start = now()
    found = [
        [[str(sentence).strip() for sentence in nlp(text).sents] if text else [] for text in side]
        for side in (predictions, references)
    ]
    return since(start), found


def ratescore(folder: Path, predictions: list[str], references: list[str]) -> tuple[Seconds, list]:
    from loguru import logger
    from RaTEScore import RaTEScore

    logger.remove()
    scorer = RaTEScore(str(folder / "ner"), str(folder / "encoder"), use_gpu=False)
    start = now()
    scores = scorer.compute_score(predictions, references)
    return since(start), [float(score) for score in scores]


def radgraph(folder: Path, predictions: list[str], references: list[str]) -> tuple[Seconds, list]:
    from radgraph import F1RadGraph
    from radgraph.dygie.models import dygie

    # Heads for coreference and events, which RadGraph does not use, may stay as they are.
    strict = dygie.DyGIE.load_state_dict
    dygie.DyGIE.load_state_dict = lambda self, state, strict_=True, **_: strict(
        self, state, strict=False
    )
    os.chdir(folder)
    types = ("radgraph", "radgraph-xl", "modern-radgraph-xl")
    archive = next(name for name in types if (folder / name).is_dir())
    scorer = F1RadGraph(
        reward_level="all", model_type=archive, model_cache_dir=str(folder), cuda=-1
    )
    start = now()
    _, rewards, hypotheses, truths = scorer(hyps=predictions, refs=references)
    seconds = since(start)
    return seconds, [*(list(map(float, level)) for level in rewards), hypotheses, truths]


if __name__ == "__main__":
    name, folder, texts = sys.argv[1:]
    pairs = json.loads(Path(texts).read_text())
    own = sys.stdout
    sys.stdout = sys.stderr
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    run = {"ratescore": ratescore, "radgraph": radgraph, "sentences": sentences}[name]
    spent, scores = run(Path(folder).resolve(), pairs["predictions"], pairs["references"])
    answer = {"seconds": spent[0], "processor_seconds": spent[1], "scores": scores}
    print(json.dumps(answer), file=own)
