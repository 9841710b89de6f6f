"""Which ids a language model learns from, by style of the conversation."""

import pytest
import torch

from libra_bench.core.errors import InputError
from libra_bench.model.conversation import conversation
from libra_bench.model.loading import load_tokenizer
from libra_bench.model.supervision import supervised
from libra_bench.model.tokenizer import Tokenizer
from libra_bench.model.zoo import find, is_present

ANSWER = "The heart is normal in size."


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    folder = is_present(find("libra-tiny"))
    assert folder is not None
    return load_tokenizer(folder)


@pytest.mark.parametrize("mode", ["libra_v1", "libra_llama_2", "mistral_instruct"])
def test_an_answer_and_its_end_are_learned_and_nothing_before(
    tokenizer: Tokenizer, mode: str
) -> None:
    ids, labels = supervised("Describe.", ANSWER, conversation(mode), tokenizer)
    learned = (labels != -100).nonzero().flatten()
    # One stretch, up to the end token.
    assert learned.tolist() == list(range(int(learned[0]), len(ids)))
    assert torch.equal(labels[learned], ids[learned])
    assert int(ids[-1]) == tokenizer.eos_token_id
    text = tokenizer.decode(labels[learned].tolist()).strip()
    # The published code leaves the sign before the answer unmasked, where it is a token.
    assert text.endswith(ANSWER)
    assert len(text) <= len(ANSWER) + 3


def test_plain_learns_the_answer_after_the_image_alone(tokenizer: Tokenizer) -> None:
    ids, labels = supervised("Describe.", ANSWER, conversation("plain"), tokenizer)
    # Begin token, image, answer, line end: the question is not read.
    assert ids[:2].tolist() == [tokenizer.bos_token_id, -200]
    assert labels[:2].tolist() == [-100, -100]
    assert torch.equal(labels[2:], ids[2:])
    assert tokenizer.decode(ids[2:].tolist()) == f"{ANSWER}\n"
    with pytest.raises(InputError, match="one question and one answer"):
        supervised("a", "b", conversation("plain"), tokenizer, later=[("c", "d")])


def test_v0_is_trained_as_the_published_trainer_trains_it(tokenizer: Tokenizer) -> None:
    """It takes `v0` for `vicuna_v1`, though its prompts are others."""
    mine = supervised("Describe.", ANSWER, conversation("v0"), tokenizer)
    theirs = supervised("Describe.", ANSWER, conversation("vicuna_v1"), tokenizer)
    assert mine[0].tolist() == theirs[0].tolist() and mine[1].tolist() == theirs[1].tolist()
    assert conversation("v0").prompt("Q") != conversation("vicuna_v1").prompt("Q")


def test_where_the_published_counts_fail_it_learns_nothing_and_we_the_answer(
    tokenizer: Tokenizer,
) -> None:
    mode = conversation("conv_gemma")
    _, nothing = supervised("Describe.", ANSWER, mode, tokenizer, as_published=True)
    assert set(nothing.tolist()) == {-100}
    ids, labels = supervised("Describe.", ANSWER, mode, tokenizer)
    learned = tokenizer.decode([one for one in labels.tolist() if one != -100])
    assert learned.strip() == f"{ANSWER}<end_of_turn>"
    # Too long for its check, the published trainer keeps what it counted.
    _, kept = supervised(
        "Describe.", ANSWER, mode, tokenizer, as_published=True, max_length=len(ids) // 2
    )
    assert set(kept.tolist()) != {-100}


@pytest.mark.parametrize("mode", ["libra_v1", "mistral_instruct"])
def test_an_image_that_nothing_is_asked_of_has_no_line_end(tokenizer: Tokenizer, mode: str) -> None:
    """The published trainer strips the first question with its image before it."""
    text = conversation(mode).training_text("", ANSWER)
    ids, labels = supervised("", ANSWER, conversation(mode), tokenizer)
    assert "<image>" in text and "<image>\n" not in text and len(ids) == len(labels)
    assert "<Image><image></Image>###" in conversation("libra_v0_mmtag").training_text("", ANSWER)
    assert tokenizer.decode(labels[labels != -100].tolist()).strip().endswith(ANSWER)
