"""What decides an answer beside a checkpoint's weights, told by hashes of the files it lies in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from libra_bench.core.content import content_hash
from libra_bench.core.identity import text_hash
from libra_bench.model import open_clip
from libra_bench.model.saving import TOKENIZER_FILES

SETTINGS = ("config.json", "generation_config.json", "adapter_config.json")
TOWER = ("config.json", "open_clip_config.json")
PREPROCESSING = ("preprocessor_config.json", "open_clip_config.json")
WEIGHTS = ("*.safetensors", "*.bin")


def part_hashes(
    folder: Path, base: Path | None, tower: Path, tower_weights: str | None = None
) -> dict[str, str]:
    """Hashes by part: `config`, `tokenizer`, `tower` (its weights, where it has its own), and
    `preprocessing`.

    Args:
        folder, base: the checkpoint, and the one under it.
        tower: the vision tower's folder, wherever it lies; or its configuration's file, which
            open_clip's towers have inside another folder.
        tower_weights: the name of such a tower's weights.
    """
    both = [one for one in (folder, base) if one is not None]
    if tower.is_file():
        look, weights = [tower], [open_clip.weights_of(tower, tower_weights)]
        settings = look
    else:
        settings = [tower / name for name in TOWER]
        look = [tower / name for name in PREPROCESSING]
        # A tower that shares its folder with the model is hashed with the model's weights.
        inside = tower == folder
        weights = sorted(file for pattern in WEIGHTS for file in tower.glob(pattern) if not inside)
    return {
        "config": _hash(one / name for one in both for name in SETTINGS),
        "tokenizer": _hash((base or folder) / name for name in TOKENIZER_FILES),
        "tower": _hash([*settings, *weights]),
        "preprocessing": _hash(look),
    }


def _hash(files: Iterable[Path]) -> str:
    found = [file for file in files if file.is_file()]
    return text_hash(*(part for one in found for part in (one.name, content_hash(one))))
