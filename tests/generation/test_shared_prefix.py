"""The tree of answers behind each prompt, and which models and studies it can serve."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from libra_bench.generation.engines import fast, reference
from libra_bench.generation.engines.serving import cannot_serve
from libra_bench.generation.engines.shared_prefix import Places, attend
from libra_bench.generation.engines.step import Step
from libra_bench.generation.protocols import Decoding
from libra_bench.generation.study import Study
from libra_bench.model.loading import LoadedModel, load_model


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("libra-tiny")


def study(seed: int, length: int = 10) -> Study:
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 400, (length,), generator=draw)
    ids[length // 2] = -200
    return Study(str(seed), ids, torch.randn(3, 112, 112, generator=draw), None)


def filled(places: int, beams: int, prompts: list[int]) -> tuple[Places, list[torch.Tensor]]:
    """Places of one layer with one key head and one number a key, and the prompts' keys."""
    draw = torch.Generator().manual_seed(0)
    made = Places(places, beams, group=1, prompt=max(prompts))
    keys = [torch.randn(1, 1, length, 4, generator=draw) for length in prompts]
    for place, one in enumerate(keys):
        made.put(place, [(one, one)])
    return made, keys


def test_every_beam_attends_to_its_own_ancestors_whatever_is_moved() -> None:
    """The mask and the slots against sequences that are copied whole at every step."""
    places, beams, prompts = 2, 3, [5, 9]
    made, keys = filled(places, beams, prompts)
    held = [[keys[place][0, 0] for _ in range(beams)] for place in range(places)]
    draw = torch.Generator().manual_seed(1)
    module = SimpleNamespace(layer_idx=0)
    for step in range(80):
        made.begin()
        assert made.positions.view(places, beams).tolist() == [
            [length + step] * beams for length in prompts
        ]
        new = torch.randn(places * beams, 1, 1, 4, generator=draw)
        query = torch.randn(places * beams, 1, 1, 4, generator=draw)
        key, value = made.update(new, new, 0)
        answer, _ = attend(module, query, key, value, None, 0.5, made)
        for place in range(places):
            held[place] = [
                torch.cat([held[place][beam], new[place * beams + beam, 0]])
                for beam in range(beams)
            ]
            for beam, own in enumerate(held[place]):
                row = place * beams + beam
                weights = (query[row, 0] @ own.T * 0.5).softmax(-1)
                torch.testing.assert_close(answer[row, 0], weights @ own, atol=1e-5, rtol=1e-5)
        origins = torch.randint(0, beams, (places, beams), generator=draw)
        made.reorder([0, 1], origins)
        held = [
            [held[place][origin] for origin in origins[place].tolist()] for place in range(places)
        ]
    # 480 tokens were written; those that no beam descends from gave their slots back.
    assert made.slots < 80 * beams
    assert made.grown > 1


def test_an_empty_place_takes_no_slots_and_disturbs_nobody() -> None:
    made, _ = filled(2, 1, [4, 4])
    made.free(1)
    new = torch.zeros(2, 1, 1, 4)
    for _ in range(60):
        made.begin()
        made.update(new, new, 0)
    assert (made.used[1], made.lengths) == (0, [64, 0])
    assert not torch.isnan(made.mask).any()
    assert bool((made.mask > -torch.inf).any(dim=-1).all()), "no row attends to nothing"


@pytest.mark.parametrize("static", [False, True])
def test_long_answers_outgrow_their_first_room(tiny: LoadedModel, static: bool) -> None:
    cases = [study(seed, 8 + 3 * seed) for seed in range(3)]
    decoding = Decoding(
        "long", num_beams=4, no_repeat_ngram_size=3, max_new_tokens=90, min_new_tokens=90
    )
    ends: dict[str, Any] = {"eos_token_ids": [2], "pad_token_id": 0}
    expected = reference.generate(tiny.model, cases, decoding, **ends)
    answers = fast.generate(tiny.model, cases, decoding, side_by_side=2, static=static, **ends)
    assert answers == expected


class Replays:
    """Stands for a GPU: a captured step is run again on the tensors that it was captured with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.captures = 0
        self.replays = 0
        self.seen: list[tuple[int, ...]] = []
        """Addresses that each replay read, and how often they have been moved before."""
        forward, outer = Step._forward, self

        class Graph:
            step: Step

            def replay(self) -> None:
                outer.replays += 1
                places = self.step._places
                read = (places.mask, places.positions, places._columns, *sum(places.stored, ()))
                outer.seen.append((places.grown, *(one.data_ptr() for one in read)))
                self.step._logits.copy_(forward(self.step))

        @contextmanager
        def graph(made: Graph) -> Iterator[None]:
            yield
            outer.captures += 1

        def record(step: Step) -> None:
            original(step)
            step._graph.step = step  # type: ignore[union-attr]

        class Stream:
            def wait_stream(self, other: object) -> None:
                pass

        original = Step._record
        monkeypatch.setattr(Step, "_record", record)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
        monkeypatch.setattr(torch.cuda, "graph", graph)
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", Stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        monkeypatch.setattr(
            fast, "Step", lambda model, places, capture: Step(model, places, capture=True)
        )


def test_a_step_reads_the_same_addresses_until_places_grow(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [study(seed, 8 + 3 * seed) for seed in range(3)]
    decoding = Decoding(
        "long", num_beams=3, no_repeat_ngram_size=3, max_new_tokens=60, min_new_tokens=60
    )
    ends: dict[str, Any] = {"eos_token_ids": [2], "pad_token_id": 0, "side_by_side": 2}
    expected = fast.generate(tiny.model, cases, decoding, static=False, **ends)
    gpu = Replays(monkeypatch)
    assert fast.generate(tiny.model, cases, decoding, static=True, **ends) == expected
    # Two studies side by side and then the third: twice 59 steps after the prefill.
    assert gpu.replays == 118
    assert len(set(gpu.seen)) == gpu.captures
    assert 1 < gpu.captures < 10


PLAIN = Decoding("plain", max_new_tokens=20)


def reason(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch, length: int = 10, **settings: object
) -> str | None:
    """Why libra-tiny with other settings could not serve a prompt of `length` ids."""
    config = tiny.model.config.language
    with monkeypatch.context() as patch:
        for name, value in settings.items():
            patch.setattr(config, name, value, raising=False)
        return cannot_serve(tiny.model, [study(0, length)], PLAIN)


def test_only_a_window_that_a_study_outgrows_is_an_obstacle(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 9 ids of text, the image, and at most 20 new tokens.
    longest = 9 + tiny.model.vision_tower.positions + 20
    for kind in ({"layer_types": ["sliding_attention"] * 3}, {"model_type": "mistral"}):
        fits = reason(tiny, monkeypatch, **kind, sliding_window=longest)
        assert fits is None
        short = reason(tiny, monkeypatch, **kind, sliding_window=longest - 1)
        assert short is not None
        assert f"within a window of {longest - 1}" in short
    assert reason(tiny, monkeypatch, sliding_window=4) is None, "Llama reads no such setting"


def test_caps_and_other_kinds_of_layers_are_not_served(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "caps its attention" in str(reason(tiny, monkeypatch, attn_logit_softcapping=50.0))
    assert "layers of linear" in str(reason(tiny, monkeypatch, layer_types=["linear"] * 3))


def test_a_rotary_embedding_may_not_change_on_the_way(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = 9 + tiny.model.vision_tower.positions
    for turn, served in ((prompt - 1, True), (prompt, False), (prompt + 20, True)):
        rope = {"rope_type": "longrope", "original_max_position_embeddings": turn}
        answer = reason(tiny, monkeypatch, rope_parameters=rope)
        assert (answer is None) is served
    dynamic = {"rope_parameters": {"rope_type": "dynamic"}}
    assert reason(tiny, monkeypatch, **dynamic, max_position_embeddings=prompt + 20) is None
    late = reason(tiny, monkeypatch, **dynamic, max_position_embeddings=prompt)
    assert "changes its rotary embedding" in str(late)


def test_a_model_with_short_windows_answers_as_the_reference_does(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [study(seed) for seed in range(2)]
    decoding = dataclasses.replace(PLAIN, num_beams=3)
    ends: dict[str, Any] = {"eos_token_ids": [2], "pad_token_id": 0}
    expected = reference.generate(tiny.model, cases, decoding, **ends)
    monkeypatch.setattr(tiny.model.config.language, "attn_logit_softcapping", 50.0, raising=False)
    with pytest.warns(UserWarning, match="study by study: llama caps its attention scores"):
        assert fast.generate(tiny.model, cases, decoding, **ends) == expected
