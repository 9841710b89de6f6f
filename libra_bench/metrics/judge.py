"""Language models as judges: prompts in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from libra_bench.core.errors import InputError
from libra_bench.metrics.cache import ContentCache
from libra_bench.metrics.neural import (
    batches_by_length,
    device,
    load_config,
    load_model,
    load_tokenizer,
)
from libra_bench.metrics.resources import fingerprint, json_object, model_folder, using

END = "</s>"
_CLOSED = ("LlamaTokenizer", "LlamaTokenizerFast")
"""Tokenizers that put the end token behind a prompt when they are asked to."""
_CLOSED_MODELS = ("llama", "mistral")
"""Models whose tokenizer is of these unless it says otherwise."""


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
        closes: whether prompts end with the end token where the tokenizer knows how to put it
            (`add_eos_token`, as of Llama's).
    """

    def __init__(self, option: str, name: str, longest: int, *, closes: bool = False) -> None:
        self._option, self._name, self._longest = option, name, longest
        self._closes = closes

    def check(self) -> None:
        model_folder(self._option, self._name)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self._folder)

    def answer(self, prompts: Sequence[str]) -> list[str]:
        """Answers of n prompts, special tokens left out; equal prompts are put once.

        A prompt that leaves no room for an answer has none.

        Raises:
            InputError: no prompt leaves any.
        """
        if prompts and not self._fits(min(prompts, key=len)) and not any(map(self._fits, prompts)):
            raise InputError(
                f"{self._option}: prompts leave no room for an answer within {self._longest} tokens"
            )
        kind = "half" if device().type == "cuda" else "single"
        cache: ContentCache[str] = ContentCache(
            "judge-2", self.fingerprint, str(self._longest), kind, str(self._closes)
        )
        found = cache.through(prompts, self._answer, at_once=32)
        return [found[prompt] for prompt in prompts]

    def _answer(self, prompts: list[str]) -> list[str]:
        import torch

        tokenizer, model = self._tokenizer, self._model
        end = tokenizer.eos_token_id
        ids = self._ids(prompts)
        roomy = [place for place, row in enumerate(ids) if len(row) < self._longest]
        answers: dict[int, str] = {}
        padding = tokenizer.pad_token_id if end is None else end
        with torch.inference_mode():
            for batch in batches_by_length([self._longest] * len(roomy), tokens=8 * self._longest):
                places = [roomy[place] for place in batch]
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
                    eos_token_id=end,
                    pad_token_id=padding,
                )
                for place, gap, row in zip(places, gaps, output[:, width:], strict=True):
                    # Each has the room that it would have alone.
                    own = row[: self._longest - width + gap]
                    answers[place] = tokenizer.decode(own, skip_special_tokens=True)
        return [answers.get(place, "") for place in range(len(prompts))]

    @property
    def _folder(self) -> Path:
        return model_folder(self._option, self._name)

    @cached_property
    def end(self) -> str:
        """The token that ends a turn of its conversation."""
        said = _tokenizer_config(self._folder).get("eos_token")
        said = said.get("content") if isinstance(said, dict) else said
        return said if isinstance(said, str) else END

    def _ids(self, prompts: Sequence[str]) -> list[list[int]]:
        closing = [self._tokenizer.eos_token_id] if self._closing else []
        return [[*row, *closing] for row in self._tokenizer(list(prompts))["input_ids"]]

    def _fits(self, prompt: str) -> bool:
        return len(self._ids([prompt])[0]) < self._longest

    @cached_property
    def _closing(self) -> bool:
        return self._closes and closes_prompts(self._folder)

    @cached_property
    def _tokenizer(self) -> Any:
        with using(self._option, self._folder):
            return load_tokenizer(self._folder)

    @cached_property
    def _model(self) -> Any:
        with using(self._option, self._folder):
            model: Any = load_model("AutoModelForCausalLM", self._folder, load_config(self._folder))
        return model.half() if device().type == "cuda" else model


def closes_prompts(folder: Path) -> bool:
    """Whether a folder's tokenizer puts the end token behind a text when it is asked to."""
    named = _tokenizer_config(folder).get("tokenizer_class")
    if named is None:
        return load_config(folder).model_type in _CLOSED_MODELS
    return named in _CLOSED


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return json_object(path) if path.is_file() else {}
