"""Going on with a training run: with the same one, in its own folder, and not beyond its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json, to_json
from libra_bench.core.outputs import check_folder, holds_something
from libra_bench.training.checkpoints import whole_checkpoints

RECORD = "training.json"
STATE = "trainer_state.json"
DECIDING = ("data_sha256", "validation_sha256", "start_weights", "start_parts", "processes")
"""Of the record: what a step depends on, whatever its files are called today."""
DECIDING_SETTINGS = ("stage", "connector", "conv_mode", "limit")
FREE = (
    *("output_dir", "logging_", "log_", "save_", "report_to", "run_name", "disable_tqdm"),
    *("dataloader_", "push_to_hub", "hub_", "resume_from_checkpoint", "local_rank", "trackio_"),
    *("project", "tpu_", "debug", "skip_memory_metrics", "torch_empty_cache_steps"),
)
"""Beginnings of the arguments that change nothing of what is learned."""


def check_output(output: Path, *, resume: bool, inputs: tuple[Path | None, ...] = ()) -> None:
    """Refuse a folder in which no training can begin, or none can go on, before any work.

    Raises:
        InputError: an input of the run, or a folder that holds something else.
    """
    check_folder(output, inputs=inputs)
    begun = bool(whole_checkpoints(output)) or (output / RECORD).exists()
    if begun and not resume:
        raise InputError(
            f"{output} holds a training run already: --resume continues it, another "
            "--output keeps it"
        )
    if not begun and holds_something(output):
        raise InputError(f"{output} is not empty, and holds no training run; choose another")


def require_same(output: Path, record: Mapping[str, Any]) -> None:
    """Refuse to go on with another run than the one that the folder holds.

    Args:
        record: what `training.json` would hold now.

    Raises:
        InputError: each setting that differs is named.
    """
    if not (output / RECORD).is_file():
        return
    before, now = read_json(output / RECORD), json.loads(to_json(record))
    pairs = [(name, before.get(name), now.get(name)) for name in DECIDING if name in before]
    for part, names in (("given", DECIDING_SETTINGS), ("arguments", None)):
        old, new = before.get(part, {}), now.get(part, {})
        pairs += [
            (name, old[name], new[name])
            for name in (names or old)
            if name in old and name in new and not (names is None and name.startswith(FREE))
        ]
    differing = [f"{name}: {old} there, {new} now" for name, old, new in pairs if old != new]
    if differing:
        raise InputError(
            f"{output}: holds a training run with other settings ({'; '.join(differing)}); "
            "choose another --output"
        )


def is_at_the_end(checkpoint: Path) -> bool:
    """Whether a checkpoint was written after the last step of its run."""
    file = checkpoint / STATE
    if not file.is_file():
        return False
    state = read_json(file)
    return 0 < int(state.get("max_steps") or 0) <= int(state["global_step"])
