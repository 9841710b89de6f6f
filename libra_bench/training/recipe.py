"""How `libra-tiny` was trained: `python -m libra_bench.training.recipe FOLDER` does it again.

No pre-trained tower and no pre-trained language model are that small, so two things differ from
Libra, and are said wherever its figures stand: the tower first learns the latent grades of the
training patients from single images (`tower.py`), and in stage `align` the language model learns
together with the connector. Stage `finetune` is Libra's own: LoRA, all else frozen.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from libra_bench.core.files import read_json, write_json
from libra_bench.data.corpora import load
from libra_bench.data.synthetic.course import Findings
from libra_bench.data.synthetic.writer import LATENT_FILE, synthesize
from libra_bench.model import tiny
from libra_bench.model.loading import load_model
from libra_bench.model.saving import save_model
from libra_bench.training.conversations import write_conversations
from libra_bench.training.merging import merge
from libra_bench.training.run import TrainingSettings, train
from libra_bench.training.tower import NAMES, pixels_of, teach_tower

PATIENTS, SEED = 5000, 1
"""A larger cohort than the built-in one, of other patients: that one stays unseen."""
TOWER_EPOCHS = 10
COMMON = (
    *("--use_cpu", "true", "--gradient_checkpointing", "false", "--seed", str(SEED)),
    *("--per_device_train_batch_size", "32", "--dataloader_num_workers", "1"),
    # One cohort, one padding: training as at inference.
    *("--image_padding", "mean", "--logging_steps", "50", "--save_steps", "400"),
)
ALIGN = ("--tune_language_model", "true", "--learning_rate", "2e-3", "--max_steps", "2000")
FINETUNE = (
    *("--lora_r", "16", "--lora_alpha", "32", "--learning_rate", "5e-4", "--max_steps", "250"),
)


def make(folder: Path, say: Callable[[str], None] = print) -> Path:
    """Train in `folder`, which is continued where it was left; the whole model's folder."""
    cohort, base = folder / "cohort", folder / "base"
    aligned, tuned, final = folder / "align", folder / "finetune", folder / "libra-tiny"
    torch.manual_seed(SEED)
    _once(cohort, lambda place: synthesize(place, PATIENTS, SEED))
    data = folder / "train.json"
    write_conversations(data, load(f"synthetic:{cohort}", split="train").examples)
    _once(base, lambda place: _seeing(place, cohort, say))
    for stage, start, output, given in (
        ("align", base, aligned, ALIGN),
        ("finetune", aligned, tuned, FINETUNE),
    ):
        train(
            TrainingSettings(
                stage=stage,
                model=str(start),
                data=data,
                image_root=cohort,
                output=output,
                resume=output.exists(),
                given=(*COMMON, *given),
            ),
            say,
        )
    _once(final, lambda place: _whole(tuned, aligned, place))
    return final


def _once(folder: Path, write: Callable[[Path], None]) -> None:
    """Write a folder whole, or not at all; one that is there stays."""
    if folder.exists():
        return
    begun = folder.with_name(f".{folder.name}")
    shutil.rmtree(begun, ignore_errors=True)
    write(begun)
    begun.rename(folder)


def _whole(tuned: Path, aligned: Path, final: Path) -> None:
    """One checkpoint of both stages, which says where it comes from."""
    merge(tuned, aligned, final, dtype="float16")
    marks = {"trained": True, "seed": SEED, "recipe": "libra_bench/training/recipe.py"}
    write_json(final / "config.json", {**read_json(final / "config.json"), "libra_bench": marks})


def _seeing(base: Path, cohort: Path, say: Callable[[str], None]) -> None:
    """A checkpoint with random weights but for its tower, which is taught."""
    tiny.build(base)
    loaded = load_model(base, device="cpu")
    table = pd.read_csv(cohort / LATENT_FILE, dtype={"study_id": str}).set_index("study_id")
    truths = {
        str(study): Findings(**{name: int(row[name]) for name in NAMES})
        for study, row in table.iterrows()
    }
    examples = load(f"synthetic:{cohort}", split="train").examples
    seen = {one.image[0]: truths[str(one.study_id)] for one in examples}
    pixels = pixels_of(loaded, cohort, list(seen))
    teach_tower(loaded, pixels, list(seen.values()), epochs=TOWER_EPOCHS, say=say)
    save_model(loaded.model, base / "model.safetensors")


if __name__ == "__main__":
    make(Path(sys.argv[1]), lambda line: print(line, file=sys.stderr))  # noqa: T201
