"""From a question and its answer to what a language model learns from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from libra_bench.core.errors import InputError
from libra_bench.model.conversation import IMAGE_TAG, Conversation
from libra_bench.model.libra import IGNORED
from libra_bench.model.tokenizer import Tokenizer, encode_with_image

# Tokens of the text before the answer that are not masked, by the style of the conversation. Where
# that text ends with a space the published code takes one off: Llama's tokenizer makes a token of
# the closing space, which the whole text does not have. (A tokenizer that drops such a space
# learns the colon as well; so does the published code.)
UNMASKED = {
    "TWO": 1,
    "LLAMA_2": 1,
    "MISTRAL": 1,
    "MPT": 1,
    "LLAMA_3": 0,
    "PHI3": 0,
    "GEMMA": 0,
}
SEVERAL_TURNS = ("TWO", "MPT", "LLAMA_3", "PHI3", "GEMMA")
"""Styles whose later turns look like the first; Llama 2 and Mistral put the system's message
into it."""


def supervised(
    question: str,
    answer: str,
    mode: Conversation,
    tokenizer: Tokenizer,
    *,
    later: Sequence[tuple[str, str]] = (),
    image_tag: str = IMAGE_TAG,
) -> tuple[Tensor, Tensor]:
    """Ids and labels [L] of a question with its answer, as the published trainer makes them.

    Labels are the ids of each answer, its end token included, and -100 elsewhere.

    Args:
        later: further questions and answers of the same conversation, without an image.

    Raises:
        InputError: a conversation mode of a style that the published trainer was not read for.
    """
    if mode.style not in UNMASKED or (later and mode.style not in SEVERAL_TURNS):
        turns = " over several turns" if mode.style in UNMASKED else ""
        raise InputError(
            f"conversation mode {mode.name!r} cannot be trained with{turns} ({mode.style})"
        )
    before = mode.before_answer(question, image_tag=image_tag)
    text = mode.training_text(question, answer, image_tag=image_tag)
    spans = [(before, text)]
    for asked, answered in later:
        opening, closing = mode.later_turn(asked, answered)
        before, text = text + opening, text + opening + closing
        spans.append((before, text))
    ids = torch.tensor(encode_with_image(text, tokenizer))
    labels = torch.full_like(ids, IGNORED)
    for start_text, end_text in spans:
        # Each answer ends with a special token, at which the tokenizer cuts: what follows does
        # not change the ids before.
        start = len(encode_with_image(start_text, tokenizer)) - UNMASKED[mode.style]
        end = len(encode_with_image(end_text, tokenizer))
        labels[start:end] = ids[start:end]
    return ids, labels
