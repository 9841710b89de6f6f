"""From questions and their answers to what a language model learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from libra_bench.core.errors import InputError
from libra_bench.model.conversation import (
    IMAGE_TAG,
    Conversation,
    Turn,
    conversation,
    with_image,
)
from libra_bench.model.libra import IGNORED
from libra_bench.model.tokenizer import Tokenizer, encode_with_image

TRAINED_AS = {"v0": "vicuna_v1"}
"""Modes that the published trainer takes for another one."""
ANSWER = "\0"
"""Stands for an answer while its place is looked for."""


@dataclass(frozen=True)
class Masking:
    """How the published trainer finds the answers in a conversation's ids: by counting.

    It cuts the text into rounds, encodes each round and its part before the answer by themselves,
    and takes so many ids to be masked; what the counts miss of begin tokens and line ends is set
    right by fixed numbers.

    Attributes:
        first: ids masked before the first round.
        question: added to the length of each part before an answer.
        round: added to the length of each round.
        later: added to both from the second round on.
        legacy: added as well from the second round on, for a tokenizer of the first behaviour, and
            of the later one (a tokenizer of no such kind counts as the later one).
    """

    first: int = 1
    question: int = -1
    round: int = 0
    later: int = 0
    legacy: tuple[int, int] = (0, 0)


MASKINGS = {
    "TWO": Masking(question=-2, legacy=(0, -1)),
    "LLAMA_2": Masking(question=-2),
    "MISTRAL": Masking(question=-2),
    "LLAMA_3": Masking(round=-1),
    "MPT": Masking(first=0, legacy=(1, 0)),
    "GEMMA": Masking(legacy=(0, -1)),
    "PHI3": Masking(later=-1, legacy=(0, -1)),
    "QWEN": Masking(later=-1, legacy=(0, -1)),
}


def supervised(
    question: str,
    answer: str,
    mode: Conversation,
    tokenizer: Tokenizer,
    *,
    later: Sequence[tuple[str, str]] = (),
    image_tag: str = IMAGE_TAG,
    max_length: int = 2048,
    as_published: bool = False,
) -> tuple[Tensor, Tensor]:
    """Ids and labels [L] of a conversation, as the published trainer makes them.

    Labels are the ids of each answer, its end token included, and -100 elsewhere. Where the counts
    of the published trainer do not come out, it masks the whole conversation and learns nothing
    from it (every one in Gemma's and MPT's modes, later turns in Llama 3's and Qwen's); here the
    answers are found in the text instead.

    Args:
        later: further questions and answers of the same conversation, without an image.
        max_length: a conversation of so many ids or more escapes the published check.
        as_published: mask the whole conversation where the published trainer does.

    Raises:
        InputError: a conversation that the published trainer cannot read in this mode.
    """
    mode = conversation(TRAINED_AS[mode.name]) if mode.name in TRAINED_AS else mode
    if mode.style == "PLAIN":
        return _plain(answer, mode, tokenizer, later)
    if mode.style == "SINGLE":
        return _single([(question, answer), *later], mode, tokenizer, image_tag)
    text = mode.training_text(question, answer, later=later, image_tag=image_tag)
    ids = encode_with_image(text, tokenizer)
    labels = _counted(text, ids, mode, tokenizer, max_length)
    if labels is None:
        labels = (
            [IGNORED] * len(ids)
            if as_published
            else _found([(question, answer), *later], ids, mode, tokenizer, image_tag)
        )
    return torch.tensor(ids), torch.tensor(labels)


def _counted(
    text: str, ids: list[int], mode: Conversation, tokenizer: Tokenizer, max_length: int
) -> list[int] | None:
    """Labels by the published trainer's counts; None where they do not come out."""
    rule, labels = MASKINGS[mode.style], list(ids)
    rounds, before_answer = ROUNDS[mode.style](mode, text)
    place = rule.first
    labels[:place] = [IGNORED] * place
    for number, one in enumerate(rounds):
        parts = one.split(before_answer)
        if one == "" or len(parts) != 2:
            break
        more = 0
        if number:
            more = rule.later + rule.legacy[0 if tokenizer.legacy else 1]
        length = len(encode_with_image(one, tokenizer)) + rule.round + more
        asked = len(encode_with_image(parts[0] + before_answer, tokenizer)) + rule.question + more
        end = min(place + asked, len(ids))
        labels[place:end] = [IGNORED] * (end - place)
        place += length
    labels[place:] = [IGNORED] * (len(ids) - place)
    whole = sum(one != tokenizer.pad_token_id for one in ids)
    return None if place < max_length and place != whole else labels


def _by_end(mode: Conversation, text: str) -> tuple[list[str], str]:
    return text.split(mode.sep2), f"{mode.sep}{mode.assistant}: "


def _by_instruction(mode: Conversation, text: str) -> tuple[list[str], str]:
    return text.split(mode.sep2), "[/INST] "


def _by_header(mode: Conversation, text: str) -> tuple[list[str], str]:
    head = "{}\n<|start_header_id|>{}<|end_header_id|>".format
    return text.split(head("<|eot_id|>", "user")), head("<|eot_id|>", "assistant") + "\n\n"


def _by_threes(mode: Conversation, text: str) -> tuple[list[str], str]:
    """The system's message with the first question and answer, then each further pair."""
    pieces = text.split(mode.sep)
    rounds = [mode.sep.join(pieces[:3])]
    rounds += [mode.sep.join(pieces[at : at + 2]) for at in range(3, len(pieces), 2)]
    qwen = mode.style == "QWEN"
    return rounds, f"{mode.sep}\n{mode.assistant}\n" if qwen else f"{mode.sep}{mode.assistant}"


ROUNDS: dict[str, Callable[[Conversation, str], tuple[list[str], str]]] = {
    "TWO": _by_end,
    "LLAMA_2": _by_instruction,
    "MISTRAL": _by_instruction,
    "LLAMA_3": _by_header,
    "MPT": _by_threes,
    "GEMMA": _by_threes,
    "PHI3": _by_threes,
    "QWEN": _by_threes,
}
"""Rounds of a text, and what stands before each answer, by style."""


def _found(
    turns: Sequence[tuple[str, str]],
    ids: list[int],
    mode: Conversation,
    tokenizer: Tokenizer,
    image_tag: str,
) -> list[int]:
    """Labels by where each answer stands in the text: from the first id that is not the same
    without the answer to the last that does not change with what follows."""
    labels = [IGNORED] * len(ids)
    image = f"<Image>{image_tag}</Image>" if mode.image_tags else image_tag
    said: list[Turn] = []
    for number, (asked, answered) in enumerate(turns):
        said.append((mode.user, asked if number else with_image(image, asked)))
        before = mode.render([*said, (mode.assistant, ANSWER)]).partition(ANSWER)[0]
        said.append((mode.assistant, answered))
        start = _shared(encode_with_image(before, tokenizer), ids)
        end = _shared(encode_with_image(mode.render(said), tokenizer), ids)
        if answered:
            labels[start:end] = ids[start:end]
    return labels


def _shared(some: list[int], others: list[int]) -> int:
    """Ids that two sequences begin with together."""
    pairs = zip(some, others, strict=False)
    return next(
        (place for place, (one, other) in enumerate(pairs) if one != other),
        min(len(some), len(others)),
    )


def _plain(
    answer: str, mode: Conversation, tokenizer: Tokenizer, later: Sequence[tuple[str, str]]
) -> tuple[Tensor, Tensor]:
    """The image and the answer alone; the question is not read."""
    if later:
        raise InputError(f"conversation mode {mode.name!r} has one question and one answer")
    ids = torch.tensor(encode_with_image(f"{IMAGE_TAG}{answer}{mode.sep}", tokenizer))
    labels = ids.clone()
    labels[: len(encode_with_image(IMAGE_TAG, tokenizer))] = IGNORED
    return ids, labels


def _single(
    turns: Sequence[tuple[str, str]], mode: Conversation, tokenizer: Tokenizer, image_tag: str
) -> tuple[Tensor, Tensor]:
    """The published trainer's first form: `### NAME: text` line by line, whatever the prompt is.

    Of each question the first two ids are learned; lengths are those of the lines by themselves,
    their begin tokens counted in.
    """
    image = f"<Image>{image_tag}</Image>" if mode.image_tags else image_tag
    lines = []
    for number, (asked, answered) in enumerate(turns):
        asked = asked if number else with_image(image, asked)
        lines += [
            (True, f"### {mode.user}: {asked}\n"),
            (False, f"### {mode.assistant}: {answered}\n"),
        ]
    header = f"{mode.system}\n\n"
    text = header + "".join(line for _, line in lines) + "### "
    ids = torch.tensor(encode_with_image(text, tokenizer))
    labels = ids.clone()
    place = len(encode_with_image(header, tokenizer))
    labels[:place] = IGNORED
    for masked, line in lines:
        length = len(encode_with_image(line, tokenizer))
        if masked:
            labels[place + 2 : place + length] = IGNORED
        place += length
    return ids, labels
