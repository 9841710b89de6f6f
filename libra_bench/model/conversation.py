"""Conversation modes: how a question is wrapped before the model sees it.

The templates are Libra's (X-iZhang/Libra, `libra/conversation.py`), each as the prompt and the
training text that it makes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

from libra_bench.core.names import unknown_name

IMAGE_TAG = "<image>"
ANSWER = "ANSWER"

SPECIAL = re.compile(r"<\|[^<>|]+\|>|<(?:start|end)_of_turn>|</s>")
"""Signs in a template that a fitting tokenizer has as tokens of their own."""


@dataclass(frozen=True)
class Conversation:
    """One conversation mode.

    Attributes:
        style: how turns are separated, by the name of the published `SeparatorStyle`.
        stop: the text that ends an answer.
        user: the user's name, with the signs around it where the style has some.
    """

    name: str
    style: str
    stop: str
    prompt_template: str
    training_template: str
    user: str

    @property
    def special_tokens(self) -> list[str]:
        """The special tokens that stand in the prompt, each once."""
        return list(dict.fromkeys(SPECIAL.findall(self.prompt_template)))

    def prompt(self, question: str, *, image_tag: str = IMAGE_TAG) -> str:
        """The text before the answer; `image_tag` stands for the image."""
        before, after = self.prompt_template.split(f"{IMAGE_TAG}\nQUESTION")
        return f"{before}{image_tag}\n{question}{after}"

    def before_answer(self, question: str, *, image_tag: str = IMAGE_TAG) -> str:
        """The training text up to the answer; it may differ from the prompt in its last spaces."""
        before, rest = self.training_template.split(f"{IMAGE_TAG}\nQUESTION")
        return f"{before}{image_tag}\n{question}{rest.split(ANSWER)[0]}"

    def training_text(self, question: str, answer: str, *, image_tag: str = IMAGE_TAG) -> str:
        """The whole text, with the answer and its end."""
        end = self.training_template.split(ANSWER)[1]
        return f"{self.before_answer(question, image_tag=image_tag)}{answer}{end}"

    def later_turn(self, question: str, answer: str) -> tuple[str, str]:
        """A turn after the first: its text before the answer, and the answer with its end."""
        before, rest = self.training_template.split(f"{IMAGE_TAG}\nQUESTION")
        between, end = rest.split(ANSWER)
        # What is said once, the system's message and turns made up before, is not repeated.
        opening = f"<|start_header_id|>{self.user}" if self.style == "LLAMA_3" else self.user
        start = before.rindex(opening)
        return f"{before[start:]}{question}{between}", f"{answer}{end}"


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
            style=row["sep_style"],
            stop=row["sep2"] if row["sep_style"] in second else row["sep"],
            prompt_template=row["prompt_for_QUESTION"],
            training_template=row["training_text_for_QUESTION_ANSWER"],
            user=row["roles"][0],
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
