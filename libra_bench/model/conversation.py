"""Conversation modes: how a question is wrapped before the model sees it.

The modes' texts and signs are Libra's (X-iZhang/Libra, `libra/conversation.py`), kept in
`constants/conversations.json`; how turns are joined is written here, style by style.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from libra_bench.core.names import unknown_name

IMAGE_TAG = "<image>"

SPECIAL = re.compile(r"<\|[^<>|]+\|>|<(?:start|end)_of_turn>|</s>")
"""Signs in a prompt that a fitting tokenizer has as tokens of their own."""

Turn = tuple[str, str | None]
"""Who speaks, and what; None (or nothing) where the answer is to come."""


@dataclass(frozen=True)
class Conversation:
    """One conversation mode.

    Attributes:
        style: how turns are separated, by the name of the published `SeparatorStyle`.
        system: what is said once, before all turns.
        user, assistant: their names, with the signs around them where the style has some.
        sep, sep2: what stands between turns.
        presets: turns before the first question of a prompt; training leaves them out.
        image_tags: whether training puts `<Image>` and `</Image>` around the image.
    """

    name: str
    style: str
    system: str
    user: str
    assistant: str
    sep: str
    sep2: str
    presets: tuple[Turn, ...] = ()
    image_tags: bool = False

    @property
    def stop(self) -> str:
        """The text that ends an answer."""
        # Styles whose second separator does so; the others end it with the first.
        return self.sep2 if self.style in ("TWO", "LLAMA_3", "MISTRAL") else self.sep

    @property
    def special_tokens(self) -> list[str]:
        """The special tokens that stand in the prompt, each once."""
        return list(dict.fromkeys(SPECIAL.findall(self.prompt("QUESTION"))))

    def prompt(self, question: str, *, image_tag: str = IMAGE_TAG) -> str:
        """The text before the answer; `image_tag` stands for the image."""
        asked = (self.user, f"{image_tag}\n{question}")
        return self.render([*self.presets, asked, (self.assistant, None)])

    def training_text(
        self,
        question: str,
        answer: str,
        *,
        later: Sequence[tuple[str, str]] = (),
        image_tag: str = IMAGE_TAG,
    ) -> str:
        """The whole text of a conversation, with its answers and their ends.

        Args:
            later: further questions and answers.
        """
        if self.image_tags:
            image_tag = f"<Image>{image_tag}</Image>"
        turns: list[Turn] = [
            (self.user, with_image(image_tag, question)),
            (self.assistant, answer),
        ]
        for asked, answered in later:
            turns += [(self.user, asked), (self.assistant, answered)]
        return self.render(turns)

    def render(self, turns: Sequence[Turn]) -> str:
        """Turns as one text."""
        return RENDERERS[self.style](self, turns)


def with_image(image_tag: str, question: str) -> str:
    """The first question of a conversation that is learned, with its image before it.

    The published trainer leaves no line end behind an image that nothing is asked of.
    """
    return f"{image_tag}\n{question}" if question else image_tag


def _single(mode: Conversation, turns: Sequence[Turn]) -> str:
    parts = [f"{who}: {said}{mode.sep}" if said else f"{who}:" for who, said in turns]
    return mode.system + mode.sep + "".join(parts)


def _two(mode: Conversation, turns: Sequence[Turn]) -> str:
    ends = (mode.sep, mode.sep2)
    parts = [
        f"{who}: {said}{ends[place % 2]}" if said else f"{who}:"
        for place, (who, said) in enumerate(turns)
    ]
    return mode.system + mode.sep + "".join(parts)


def _signed(mode: Conversation, turns: Sequence[Turn]) -> str:
    """MPT, Gemma, Phi-3: the names bring their own signs."""
    return (
        mode.system
        + mode.sep
        + "".join(f"{who}{said}{mode.sep}" if said else who for who, said in turns)
    )


def _plain(mode: Conversation, turns: Sequence[Turn]) -> str:
    ends = (mode.sep, mode.sep2)
    return mode.system + "".join(
        f"{said}{ends[place % 2]}" for place, (_, said) in enumerate(turns) if said
    )


def _instruct(mode: Conversation, turns: Sequence[Turn]) -> str:
    """Llama 2 and Mistral: the system's message stands inside the first turn."""
    text = ""
    for place, (_, said) in enumerate(turns):
        if not said:
            continue
        if place == 0 and mode.system:
            said = f"<<SYS>>\n{mode.system}\n<</SYS>>\n\n{said}"
        text += f" {said} {mode.sep2}" if place % 2 else f"{mode.sep}[INST] {said} [/INST]"
    # The published code takes the separator's signs off in any order.
    return text.lstrip(mode.sep)


def _llama_3(mode: Conversation, turns: Sequence[Turn]) -> str:
    def headed(who: str) -> str:
        return f"<|start_header_id|>{who}<|end_header_id|>\n\n"

    text = "<|begin_of_text|>"
    for place, (who, said) in enumerate(turns):
        if not said:
            # In a prompt the published code writes the mode's own name, in capitals.
            text += headed(who)
            continue
        if place == 0 and mode.system:
            text += f"{headed('system')}{mode.system}{mode.sep2}"
        text += f"{headed('user' if who == mode.user else 'assistant')}{said}{mode.sep2}\n"
    return text.strip()


def _qwen(mode: Conversation, turns: Sequence[Turn]) -> str:
    text = f"{mode.system}{mode.sep}\n" if mode.system else ""
    for who, said in turns:
        text += f"{who}\n{said}{mode.sep}\n" if said else f"{who}\n"
    return text.strip()


RENDERERS: dict[str, Callable[[Conversation, Sequence[Turn]], str]] = {
    "SINGLE": _single,
    "TWO": _two,
    "MPT": _signed,
    "GEMMA": _signed,
    "PHI3": _signed,
    "PLAIN": _plain,
    "LLAMA_2": _instruct,
    "MISTRAL": _instruct,
    "LLAMA_3": _llama_3,
    "QWEN": _qwen,
}


@cache
def conversations() -> dict[str, Conversation]:
    """All modes by name."""
    path = resources.files("libra_bench.model") / "constants" / "conversations.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Conversation(
            name=name,
            style=row["sep_style"],
            system=row["system"],
            user=row["roles"][0],
            assistant=row["roles"][1],
            sep=row["sep"],
            sep2=row["sep2"] or "",
            presets=tuple((who, said) for who, said in row["preset_messages"]),
            image_tags=row.get("image_tags", False),
        )
        for name, row in table.items()
    }


def conversation(name: str) -> Conversation:
    """The mode `name`.

    Raises:
        InputError: an unknown name; the nearest is offered.
    """
    modes = conversations()
    if name not in modes:
        raise unknown_name("conversation mode", name, modes)
    return modes[name]
