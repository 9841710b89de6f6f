"""The fast engine's own parts: searches, the shared prefix, refilling, fallback."""

import dataclasses
from pathlib import Path

import pytest
import torch

from libra_bench.generation import search
from libra_bench.generation.engines import fast, reference
from libra_bench.generation.engines.serving import cannot_serve
from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.model.loading import LoadedModel, load_model

PAPER = Decoding("paper", num_beams=10, length_penalty=2.0, no_repeat_ngram_size=3)
ROUTES = {
    "greedy": Decoding("greedy", max_new_tokens=20),
    "ban": Decoding("ban", no_repeat_ngram_size=2, max_new_tokens=20),
    "forced": Decoding("forced", num_beams=4, min_new_tokens=12, max_new_tokens=12),
    "paper": dataclasses.replace(PAPER, max_new_tokens=20),
    "short": Decoding("short", num_beams=3, length_penalty=-1.0, max_new_tokens=20),
    "one token": Decoding("one", num_beams=3, max_new_tokens=1),
    "sampled": Decoding("sampled", do_sample=True, temperature=2.0, top_p=0.9, max_new_tokens=12),
}


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("libra-tiny")


def studies(count: int) -> list[Study]:
    """Prompts of different lengths, with and without a prior."""
    draw = torch.Generator().manual_seed(3)
    made = []
    for number in range(count):
        ids = torch.randint(3, 400, (8 + 5 * (number % 4),), generator=draw)
        ids[4] = -200
        images = torch.randn(2, 3, 112, 112, generator=draw)
        made.append(Study(str(number), ids, images[0], images[1] if number % 2 else None))
    return made


def ends_early(tiny: LoadedModel, cases: list[Study]) -> list[int]:
    """Ids that the model likes to choose, taken as end tokens so that answers differ in length."""
    answers = fast.generate(
        tiny.model, cases, Decoding("g", max_new_tokens=9), eos_token_ids=[2], pad_token_id=0
    )
    return sorted({ids[3 + number % 6] for number, ids in enumerate(answers)})[:3]


@pytest.mark.parametrize("name", ROUTES)
def test_engines_agree_whatever_runs_side_by_side(tiny: LoadedModel, name: str) -> None:
    cases = studies(7)
    eos = ends_early(tiny, cases)

    def answers(engine: object, chosen: list[Study], **options: int) -> list[list[int]]:
        return engine.generate(  # type: ignore[attr-defined, no-any-return]
            tiny.model, chosen, ROUTES[name], eos_token_ids=eos, pad_token_id=0, **options
        )

    expected = answers(reference, cases)
    for count in (1, 2, 3, 8):
        for static in (False, True):
            assert answers(fast, cases, side_by_side=count, static=static) == expected
    assert answers(fast, cases[::-1], side_by_side=3) == expected[::-1]
    if name in ("greedy", "paper"):
        assert len({len(ids) for ids in expected}) > 1, "the case should have answers of all sizes"


def test_each_answer_is_heard_once_as_it_is_done(tiny: LoadedModel) -> None:
    cases = studies(5)
    heard: dict[int, list[int]] = {}

    def hear(place: int, ids: list[int]) -> None:
        assert place not in heard
        heard[place] = ids

    answers = fast.generate(
        tiny.model,
        cases,
        ROUTES["paper"],
        eos_token_ids=[2],
        pad_token_id=0,
        on_done=hear,
        side_by_side=2,
    )
    assert [heard[place] for place in range(5)] == answers


def test_a_model_with_windows_is_decoded_study_by_study_with_a_notice(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny.model.config.language
    monkeypatch.setattr(config, "layer_types", ["sliding_attention"] * 3, raising=False)
    monkeypatch.setattr(config, "sliding_window", 16, raising=False)
    cases = studies(2)
    with pytest.warns(UserWarning, match="attends within a window of 16"):
        answers = fast.generate(
            tiny.model, cases, ROUTES["greedy"], eos_token_ids=[2], pad_token_id=0
        )
    assert len(answers) == 2


def test_the_kits_are_served_by_the_shared_prefix(parity: Path) -> None:
    for kit in ("libra-tac", "libra-qwen2", "libra-gemma"):
        loaded = load_model(parity / kit / "checkpoint", vision_tower=parity / kit / "rad-dino")
        assert cannot_serve(loaded.model, studies(2), PAPER) is None


def test_beam_search_by_hand() -> None:
    """Two beams over four tokens, 3 ends; every step's arithmetic is in the comments."""
    decoding = Decoding("hand", num_beams=2, max_new_tokens=3, length_penalty=1.0)
    found = search.start(1, 1, decoding, [3], torch.device("cpu"))
    found.begin(0, torch.tensor([9]), seed=0)

    def step(*rows: tuple[float, ...]) -> tuple[list[int], list[int]]:
        tokens, origins = found.advance([0], torch.tensor([rows]).log())
        return tokens[0].tolist(), origins[0].tolist()

    # From one beam: tokens 0 (.5) and 1 (.3) go on.
    assert step((0.5, 0.3, 0.1, 0.1), (0.5, 0.3, 0.1, 0.1)) == ([0, 1], [0, 0])
    # 0→3 has .5 * .6 = .30 and ends, with log(.30) / 2 = -0.602; 1→1 (.21), 0→0 (.15) go on.
    assert step((0.3, 0.05, 0.05, 0.6), (0.1, 0.7, 0.1, 0.1)) == ([1, 0], [1, 0])
    assert not found.done[0]
    # The last step ends everything: 1,1→1 has .21 * .9 = .189, log / 3 = -0.555, which is better.
    step((0.05, 0.9, 0.03, 0.02), (0.25, 0.25, 0.25, 0.25))
    assert found.done[0]
    assert found.answer(0) == [1, 1, 1]


def test_the_ban_looks_at_the_prompt() -> None:
    decoding = Decoding("ban", no_repeat_ngram_size=3, max_new_tokens=4)
    prompt = torch.tensor([5, 6, 7, 8, 5, 6])
    found = search.start(1, len(prompt), decoding, [1], torch.device("cpu"))
    found.begin(0, prompt, seed=0)
    scores = torch.zeros(1, 1, 10)
    scores[0, 0, 7], scores[0, 0, 4] = 9.0, 8.0
    # 5 6 7 stands in the prompt already, so the second best comes.
    assert found.advance([0], scores)[0].tolist() == [[4]]
