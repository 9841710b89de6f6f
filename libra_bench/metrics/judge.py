"""Language models as judges: prompts in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from libra_bench.core.errors import InputError
from libra_bench.metrics.neural import (
    ContentCache,
    batches_by_length,
    device,
    fingerprint,
    load_config,
    load_model,
    load_tokenizer,
    model_folder,
)


class Judge(Protocol):
    """Anything that answers prompts, always alike."""

    @property
    def fingerprint(self) -> str:
        """What the answers depend on."""

    def check(self) -> None:
        """Find what answering needs.

        Raises:
            MissingResourceError: what is missing and how to get it.
        """

    def answer(self, prompts: Sequence[str]) -> list[str]:
        """Answers of n prompts."""


class LocalJudge:
    """A causal language model of transformers that decodes greedily on this machine.

    Loaded when a prompt comes that no earlier run has put to it. On a GPU in half precision.

    Args:
        option: the metric option that names it, for messages.
        name: a folder, or a name in the Hugging Face cache.
        longest: tokens of prompt and answer together.
    """

    def __init__(self, option: str, name: str, longest: int) -> None:
        self._option, self._name, self._longest = option, name, longest

    def check(self) -> None:
        model_folder(self._option, self._name)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(model_folder(self._option, self._name))

    def answer(self, prompts: Sequence[str]) -> list[str]:
        """Answers of n prompts, special tokens left out; equal prompts are put once.

        Raises:
            InputError: a prompt that leaves no room for an answer.
        """
        kind = "half" if device().type == "cuda" else "single"
        cache: ContentCache[str] = ContentCache(
            "judge-1", self.fingerprint, str(self._longest), kind
        )
        found = cache.through(prompts, self._answer, at_once=32)
        return [found[prompt] for prompt in prompts]

    def _answer(self, prompts: list[str]) -> list[str]:
        import torch

        tokenizer, model = self._loaded
        ids = tokenizer(prompts)["input_ids"]
        faults = [str(len(row)) for row in ids if len(row) >= self._longest]
        if faults:
            raise InputError(
                f"{self._option}: prompts of {', '.join(faults)} tokens leave no room for an "
                f"answer within {self._longest}"
            )
        answers: dict[int, str] = {}
        padding = tokenizer.pad_token_id
        padding = tokenizer.eos_token_id if padding is None else padding
        with torch.inference_mode():
            for places in batches_by_length([self._longest] * len(ids), tokens=8 * self._longest):
                width = max(len(ids[place]) for place in places)
                gaps = [width - len(ids[place]) for place in places]
                # Padding stands before the prompts, so that all answers begin at one place.
                rows = [[padding] * gap + ids[p] for gap, p in zip(gaps, places, strict=True)]
                mask = [[0] * gap + [1] * (width - gap) for gap in gaps]
                output = model.generate(
                    input_ids=torch.tensor(rows, device=device()),
                    attention_mask=torch.tensor(mask, device=device()),
                    max_new_tokens=self._longest - width + max(gaps),
                    do_sample=False,
                    pad_token_id=padding,
                )
                for place, gap, row in zip(places, gaps, output[:, width:], strict=True):
                    # Each has the room that it would have alone.
                    own = row[: self._longest - width + gap]
                    answers[place] = tokenizer.decode(own, skip_special_tokens=True)
        return [answers[place] for place in range(len(prompts))]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        folder = model_folder(self._option, self._name)
        model: Any = load_model("AutoModelForCausalLM", folder, load_config(folder))
        return load_tokenizer(folder), model.half() if device().type == "cuda" else model
