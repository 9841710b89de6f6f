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


def test_styles_that_were_not_read_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="cannot be trained with"):
        supervised("Describe.", ANSWER, conversation("qwen"), tokenizer)
