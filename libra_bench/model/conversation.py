"""Conversation modes: how a question is wrapped before the model sees it.

The templates are Libra's (X-iZhang/Libra, `libra/conversation.py`), each as the prompt and the
training text that it makes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

from libra_bench.core.names import unknown_name

IMAGE_TAG = "<image>"


@dataclass(frozen=True)
class Conversation:
    """One conversation mode.

    Attributes:
        stop: the text that ends an answer.
    """

    name: str
    stop: str
    prompt_template: str
    training_template: str

    def prompt(self, question: str, *, image_tag: str = IMAGE_TAG) -> str:
        """The text before the answer; `image_tag` stands for the image."""
        before, after = self.prompt_template.split(f"{IMAGE_TAG}\nQUESTION")
        return f"{before}{image_tag}\n{question}{after}"

    def training_text(self, question: str, answer: str, *, image_tag: str = IMAGE_TAG) -> str:
        """The whole text, with the answer and its end."""
        before, rest = self.training_template.split(f"{IMAGE_TAG}\nQUESTION")
        middle, end = rest.split("ANSWER")
        return f"{before}{image_tag}\n{question}{middle}{answer}{end}"


@cache
def conversations() -> dict[str, Conversation]:
    """All modes by name."""
    path = resources.files("libra_bench.model") / "constants" / "conversations.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    # Styles whose second separator ends an answer; the others end it with the first.
    second = ("TWO", "LLAMA_3", "MISTRAL")
    return {
        name: Conversation(
            name=name,
            stop=row["sep2"] if row["sep_style"] in second else row["sep"],
            prompt_template=row["prompt_for_QUESTION"],
            training_template=row["training_text_for_QUESTION_ANSWER"],
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
