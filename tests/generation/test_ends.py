"""Where answers end, what a prompt bans, and which type a protocol names."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from libra_bench.generation import search
from libra_bench.generation.decode import NoRepeatedNGrams
from libra_bench.generation.engines import fast, reference
from libra_bench.generation.libra import LibraSystem
from libra_bench.generation.protocols import Decoding, protocol
from libra_bench.generation.study import Study
from libra_bench.model.conversation import conversation
from libra_bench.model.ends import EndTokens, Stop, end_tokens
from libra_bench.model.loading import LoadedModel, load_model, resolve_dtype
from libra_bench.model.zoo import find, is_present


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model("libra-tiny", device="cpu")


def test_the_images_id_is_counted_from_the_vocabularys_end() -> None:
    """`7 8` stood before the image: what would repeat the 3-gram is -200, row 300 - 200."""
    ids = torch.tensor([[1, 7, 8, -200, 5, 7, 8]])
    banned = NoRepeatedNGrams(3)(ids, torch.zeros(1, 300)).isinf().nonzero()
    assert banned.tolist() == [[0, 100]]
    # An n-gram that is still short bans nothing; one of a single id bans all ids used.
    assert not NoRepeatedNGrams(3)(torch.tensor([[4]]), torch.zeros(1, 9)).isinf().any()
    alone = NoRepeatedNGrams(1)(torch.tensor([[4, 6]]), torch.zeros(1, 9)).isinf()
    assert alone.nonzero()[:, 1].tolist() == [4, 6]


def test_both_engines_take_a_banned_image(loaded: LoadedModel) -> None:
    """Every two ids before the image are asked for again, so that its id is banned."""
    table = loaded.model.language_model.get_output_embeddings().weight
    kept = table.detach().clone()
    draw = torch.Generator().manual_seed(0)
    image = torch.randn(3, 112, 112, generator=draw)
    study = Study("a", torch.tensor([1, 9, 9, -200, 9]), image, None)
    decoding = Decoding("n", no_repeat_ngram_size=2, max_new_tokens=4)
    try:
        with torch.no_grad():
            table[824] = 0.0  # 1024 - 200: nothing else tells that it was banned.
        answers = [
            engine.generate(loaded.model, [study], decoding, eos_token_ids=[2], pad_token_id=0)
            for engine in (fast, reference)
        ]
    finally:
        with torch.no_grad():
            table.copy_(kept)
    assert answers[0] == answers[1] and len(answers[0][0]) >= 1


class Letters:
    """A tokenizer whose ids are letters."""

    bos_token_id, eos_token_id, pad_token_id, legacy = None, 0, 0, None

    def __len__(self) -> int:
        return 128

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def decode(self, ids: object) -> str:
        return "".join(chr(number) for number in ids)  # type: ignore[attr-defined]

    def token_id(self, text: str) -> int | None:
        return None

    def add(self, texts: object) -> None:
        raise NotImplementedError


def test_a_text_ends_a_single_answer_and_no_beam_alone() -> None:
    stop = Stop("##", (35, 35), Letters())
    assert stop.ends([1, 35, 35], 2) and not stop.ends([35, 1, 35], 3)
    ends = EndTokens([0], stop)
    for beams in (1, 2):
        decoding = Decoding("s", num_beams=beams, max_new_tokens=6)
        chosen = search.start(1, 3, decoding, ends, torch.device("cpu"))
        chosen.begin(0, torch.tensor([5, -200]), seed=0)
        for _ in range(6):
            if chosen.done[0]:
                break
            logits = torch.full((1, beams, 128), -9.0)
            logits[:, :, 35] = 9.0
            chosen.advance([0], logits)
        # Of the beams those that go on are likelier, until the limit.
        assert chosen.answer(0) == [35] * (2 if beams == 1 else 6)


def test_a_text_ends_a_search_once_all_continuations_have_it() -> None:
    """Two beams look at four continuations: of `#` those with A, B, C and D, and none of the other
    beam's, which begins with another letter."""
    ends = EndTokens([0], Stop("#", (1, 1, 1), Letters()))
    chosen = search.start(
        1, 3, Decoding("s", num_beams=2, max_new_tokens=9), ends, torch.device("cpu")
    )
    chosen.begin(0, torch.tensor([5, -200]), seed=0)
    logits = torch.full((1, 2, 128), -9.0)
    logits[:, :, ord("#")] = 9.0
    chosen.advance([0], logits)
    assert not chosen.done[0]  # Of the four first letters one alone is `#`.
    logits = torch.full((1, 2, 128), -9.0)
    for place, letter in enumerate("ABCD"):
        logits[:, :, ord(letter)] = 9.0 - place
    chosen.advance([0], logits)
    assert chosen.done[0] and chosen.answer(0) == [ord("#"), ord("A")]


@pytest.mark.parametrize("beams", [2, 3])
def test_both_engines_end_a_beam_search_at_a_text(loaded: LoadedModel, beams: int) -> None:
    draw = torch.Generator().manual_seed(0)
    image = torch.randn(3, 112, 112, generator=draw)
    studies = [
        Study(name, loaded.prompt_ids(text), image, None)
        for name, text in (("a", "Describe."), ("b", "Is there edema?"))
    ]
    decoding = Decoding("n", num_beams=beams, max_new_tokens=24)
    plain = EndTokens([2])
    ends = EndTokens([2], Stop("e", (1, 1, 1), loaded.tokenizer))
    found, free = (
        [
            engine.generate(loaded.model, studies, decoding, eos_token_ids=one, pad_token_id=0)
            for engine in (fast, reference)
        ]
        for one in (ends, plain)
    )
    assert found[0] == found[1] and free[0] == free[1]
    assert all(len(ended) < len(other) for ended, other in zip(found[0], free[0], strict=True))


def test_ends_are_those_of_the_generation_settings(loaded: LoadedModel, tmp_path: Path) -> None:
    language, tokenizer = loaded.model.language_model, loaded.tokenizer
    folder = is_present(find("libra-tiny"))
    assert folder is not None
    mode = conversation("libra_v1")
    assert end_tokens(language, tokenizer, mode, folder) == (2,)
    # The end token is one id: no text has to be looked for.
    assert end_tokens(language, tokenizer, mode, folder).stop is None
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 5]}')
    several = end_tokens(language, tokenizer, mode, tmp_path)
    assert several == (5, 7) and several.stop is not None and several.stop.ids == (2,)
    (tmp_path / "generation_config.json").write_text("{}")
    assert end_tokens(language, tokenizer, conversation("v0"), tmp_path) == ()


def test_the_script_samples_without_the_ban_and_loads_in_float16() -> None:
    sample = protocol("libra-script-sample")
    assert (sample.no_repeat_ngram_size, sample.temperature, sample.top_p) == (0, 0.9, 0.6)
    assert (sample.top_k, sample.max_new_tokens, sample.num_beams) == (50, 128, 1)
    for name in ("libra-paper", "libra-script-beam", "libra-script-sample"):
        assert protocol(name).dtype == "float16"
        assert "dtype=float16" in protocol(name).signature()
    assert "dtype" not in protocol("greedy").signature()


def test_the_signature_says_in_which_type_it_was_computed(loaded: LoadedModel) -> None:
    assert resolve_dtype("auto", "cpu") == torch.float32
    system = LibraSystem(loaded, None, protocol("libra-paper"), "fast")
    assert "dtype=float32" in system.metadata["decoding"]
    assert system.describe()["published_dtype"] == "float16"
    half = LibraSystem(
        load_model("libra-tiny", device="cpu", dtype="bfloat16"), None, protocol("greedy"), "fast"
    )
    assert "dtype=bfloat16" in half.metadata["decoding"]
    assert replace(protocol("greedy"), dtype="bfloat16").signature() == half.metadata["decoding"]
