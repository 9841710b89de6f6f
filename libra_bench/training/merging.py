"""Making one whole checkpoint of a base and what was trained over it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from libra_bench.core.files import read_json, write_json
from libra_bench.core.outputs import (
    check_folder,
    clear_leftovers,
    is_unfinished,
    require_empty,
    sole_writer,
    whole_or_again,
)
from libra_bench.model.loading import find_parts, load_model
from libra_bench.model.places import TOWER_FOLDER
from libra_bench.model.saving import TOKENIZER_FILES, copy_tokenizer, copy_tower, save_model

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FILES = (WEIGHTS, CONFIG, TOWER_FOLDER, *TOKENIZER_FILES)
"""What a merged checkpoint consists of."""
_SAYS = "This model is being merged, or was interrupted.\n"


def merge(
    model: Path,
    model_base: Path,
    output: Path,
    *,
    vision_tower: Path | None = None,
    dtype: str = "auto",
) -> None:
    """Write the whole model that `generate --model MODEL --model-base BASE` loads.

    Args:
        dtype: of the file; `auto` is float32 on a CPU, bfloat16 on a GPU.

    Raises:
        InputError: the parts do not belong together, or `output` holds something.
    """
    inputs = (model, model_base, vision_tower)

    def check() -> None:
        if is_unfinished(output, _SAYS, FILES):
            check_folder(output, inputs=inputs)
        else:
            require_empty(output, inputs=inputs)

    check()
    folder, tower = find_parts(model, model_base, vision_tower)
    loaded = load_model(
        model,
        model_base=model_base,
        vision_tower=vision_tower,
        device="cpu",
        dtype=dtype,
        training=True,  # The whole vocabulary, as config.json has it.
    )
    output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(sole_writer(output))
        check()  # Another process may have come and gone since.
        stack.enter_context(whole_or_again(output, _SAYS))
        clear_leftovers(output)
        save_model(loaded.model, output / WEIGHTS)
        copy_tokenizer(model_base, output)
        copy_tower(tower, output)
        # Last: without it the folder is no checkpoint.
        rows = loaded.config.language.vocab_size
        write_json(output / CONFIG, {**read_json(folder / CONFIG), "vocab_size": rows})
