"""Settings of decoding that a checkpoint brings along, which transformers applies unasked."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError, Notice
from libra_bench.core.files import listing, read_json

TAKEN: dict[str, int] = {"top_k": 50, "no_repeat_ngram_size": 0, "min_new_tokens": 0}
"""Settings that hold where the protocol and the caller leave them alone, with transformers' own."""

WITHOUT_EFFECT: dict[str, tuple[Any, ...]] = {
    "bad_words_ids": (),
    "begin_suppress_tokens": (),
    "constraints": (),
    "diversity_penalty": (0,),
    "dola_layers": (),
    "early_stopping": (),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "exponential_decay_length_penalty": (),
    "force_words_ids": (),
    "forced_eos_token_id": (),
    "guidance_scale": (1,),
    "max_time": (),
    "min_length": (0,),
    "num_beam_groups": (1,),
    "penalty_alpha": (0,),
    "prompt_lookup_num_tokens": (),
    "renormalize_logits": (),
    "sequence_bias": (),
    "stop_strings": (),
    "suppress_tokens": (),
    "token_healing": (),
    "watermarking_config": (),
}
"""Settings that change an answer and that no engine here knows, with the values that change
nothing; null, false and what is empty never does."""

WITHOUT_EFFECT_ON_SAMPLING: dict[str, tuple[Any, ...]] = {
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "min_p": (0,),
    "typical_p": (1,),
}
"""The same, of settings that only sampling looks at."""

PENALTY = "repetition_penalty"


def brought_settings(folder: Path, *, sampling: bool) -> dict[str, int]:
    """Settings in `TAKEN` that a checkpoint sets.

    They stand in `generation_config.json`, else in `config.json`, as in transformers.
    A repetition penalty is not among them: it counts the ids of the prompt, and the published code
    fails at the image's -200 (`index -200 is out of bounds`). It is left out, with a notice.

    Args:
        folder: the checkpoint, or the base of an adapter.
        sampling: whether tokens are drawn.

    Raises:
        InputError: settings of another form, or such as change an answer and are not known here;
            all are listed.
    """
    path = folder / "generation_config.json"
    if not path.is_file():
        path = folder / "config.json"
    raw = read_json(path) if path.is_file() else {}
    if not isinstance(raw, dict):
        raise InputError(f"{path}: a JSON object was expected")
    harmless = WITHOUT_EFFECT | (WITHOUT_EFFECT_ON_SAMPLING if sampling else {})
    foreign = [
        f"{name} {raw[name]!r}"
        for name, values in harmless.items()
        if raw.get(name) and raw[name] not in values
    ]
    if foreign:
        raise InputError(
            f"{path}: settings of decoding that are not known here would change the answers: "
            + listing(foreign)
        )
    if raw.get(PENALTY) not in (None, 1):
        warnings.warn(
            f"{path}: {PENALTY} {raw[PENALTY]!r} is left out; the published code fails at it, as "
            "it counts the image's place as a token",
            Notice,
            stacklevel=2,
        )
    found = {name: raw[name] for name in TAKEN if name in raw}
    for name, value in found.items():
        if value is None:
            found[name] = 0  # Switched off.
        elif type(value) is not int or value < 0:
            raise InputError(f"{path}: {name} is {value!r}, a number from 0 was expected")
    return {name: value for name, value in found.items() if value != TAKEN[name]}
