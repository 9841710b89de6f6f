"""A conversation that a checkpoint brings along: its tokenizer's chat template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libra_bench.core.errors import InputError
from libra_bench.core.files import read_json
from libra_bench.model.conversation import IMAGE_TAG, Conversation
from libra_bench.model.tokenization.settings import read_settings
from libra_bench.model.weights import one_line

FILES = ("tokenizer_config.json", "chat_template.json")


@dataclass(frozen=True)
class ChatTemplate(Conversation):
    """One conversation in a checkpoint's own words.

    Attributes:
        template: Jinja's, run in the sandbox of transformers.
        tokens: special tokens that it may name (`eos_token` …).
    """

    template: str = ""
    tokens: tuple[tuple[str, str], ...] = ()

    def prompt(self, question: str, *, image_tag: str = IMAGE_TAG) -> str:
        """The text before the answer; images stand in the question, where they belong.

        Raises:
            InputError: a template that cannot be used.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        content: list[dict[str, Any]] = []
        for number, text in enumerate(question.split(image_tag)):
            if number:
                content.append({"index": number - 1, "text": None, "type": "image"})
            if text:
                content.append({"index": None, "text": text, "type": "text"})
        try:
            rendered: Any = render_jinja_template(
                conversations=[[{"role": "user", "content": content}]],
                chat_template=self.template,
                add_generation_prompt=True,
                **dict(self.tokens),  # type: ignore[arg-type]  # names that a template may use
            )
        except Exception as error:  # noqa: BLE001  # whatever a template raises
            raise InputError(f"the chat template cannot be used ({one_line(error)})") from None
        text = str(rendered[0][0])
        if text.count(image_tag) != question.count(image_tag):
            raise InputError(
                f"the chat template puts {text.count(image_tag)} images where "
                f"{question.count(image_tag)} were given"
            )
        return text


def read_chat_template(folder: Path, name: str) -> ChatTemplate:
    """The chat template of a checkpoint, as a conversation.

    Args:
        name: what the conversation is called.

    Raises:
        InputError: there is none, or one that cannot be used.
    """
    settings = _table(folder / FILES[0])
    template = settings.get("chat_template")
    if template is None:
        template = _table(folder / FILES[1]).get("chat_template")
    if template is None and (folder / "chat_template.jinja").is_file():
        template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    if not isinstance(template, str) or not template:
        raise InputError(f"{folder}: no chat template ({', '.join(FILES)})")
    roles = read_settings(folder).roles
    made = ChatTemplate(
        name=name,
        style="TEMPLATE",
        system="",
        user="user",
        assistant="assistant",
        sep="",
        sep2="",
        template=template,
        tokens=tuple((f"{role}_token", token.content) for role, token in roles.items()),
    )
    try:
        made.prompt(f"A{IMAGE_TAG}B")
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None
    return made


def _table(path: Path) -> dict[str, Any]:
    value = read_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: a JSON object was expected")
    return value
