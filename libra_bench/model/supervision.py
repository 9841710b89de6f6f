"""From a question and its answer to what a language model learns from."""

from __future__ import annotations

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
UNMASKED = {"TWO": 1, "LLAMA_2": 1, "MPT": 1, "LLAMA_3": 0, "PHI3": 0, "GEMMA": 0}


def supervised(
    question: str,
    answer: str,
    mode: Conversation,
    tokenizer: Tokenizer,
    *,
    image_tag: str = IMAGE_TAG,
) -> tuple[Tensor, Tensor]:
    """Ids and labels [L] of one question with its answer, as the published trainer makes them.

    Labels are the ids from the answer on, its end token included, and -100 before.

    Raises:
        InputError: a conversation mode of a style that the published trainer was not read for.
    """
    if mode.style not in UNMASKED:
        raise InputError(f"conversation mode {mode.name!r} cannot be trained with ({mode.style})")
    text = mode.training_text(question, answer, image_tag=image_tag)
    before = mode.before_answer(question, image_tag=image_tag)
    ids = torch.tensor(encode_with_image(text, tokenizer))
    masked = len(encode_with_image(before, tokenizer)) - UNMASKED[mode.style]
    labels = ids.clone()
    labels[:masked] = IGNORED
    return ids, labels
