import json
from pathlib import Path

import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

from libra_bench.core.errors import InputError, Notice
from libra_bench.generation.protocols import Decoding, protocol
from libra_bench.generation.shards import take
from libra_bench.model.defaults import brought_settings


def test_the_papers_settings() -> None:
    paper = protocol("libra-paper")
    assert (paper.num_beams, paper.length_penalty, paper.no_repeat_ngram_size) == (10, 2.0, 3)
    assert paper.max_new_tokens == 1024
    assert not paper.do_sample


def test_an_override_changes_the_name_and_a_void_one_does_not() -> None:
    assert protocol("libra-paper", num_beams=10, max_new_tokens=None).name == "libra-paper"
    changed = protocol("libra-paper", max_new_tokens=8)
    assert (changed.name, changed.max_new_tokens, changed.num_beams) == (
        "libra-paper+custom",
        8,
        10,
    )


def test_signature_holds_what_has_an_effect() -> None:
    assert protocol("greedy").signature() == (
        "name=greedy,num_beams=1,no_repeat_ngram_size=0,max_new_tokens=1024,min_new_tokens=0,"
        "do_sample=False"
    )
    assert "top_p=0.6" in protocol("libra-script-sample").signature()


def test_wrong_settings_are_reported_together() -> None:
    with pytest.raises(InputError, match="num_beams must be at least 1; max_new_tokens"):
        Decoding("x", num_beams=0, max_new_tokens=0)
    with pytest.raises(InputError, match="Did you mean 'greedy'"):
        protocol("gredy")
    with pytest.raises(InputError, match="Did you mean 'num_beams'"):
        protocol("greedy", num_beam=3)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 100])
def test_shards_joined_are_the_whole(count: int) -> None:
    items = list(range(count))
    parts = [take(items, f"{k}/8") for k in range(1, 9)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("shard", ["0/8", "9/8", "1", "1/0", "a/b", "-1/8"])
def test_wrong_shards(shard: str) -> None:
    with pytest.raises(InputError, match="K/N"):
        take([1], shard)


def test_naming_beams_without_a_protocol_describes_a_search_of_its_own() -> None:
    from libra_bench.generation.factory import SystemSettings

    own = SystemSettings("libra-7b", overrides={"num_beams": 3, "max_new_tokens": 24}).decoding()
    assert own == Decoding("custom", num_beams=3, max_new_tokens=24)
    shorter = SystemSettings("libra-7b", overrides={"max_new_tokens": 24}).decoding()
    assert (shorter.name, shorter.num_beams) == ("libra-paper+custom", 10)
    named = SystemSettings("libra-7b", "libra-paper", {"num_beams": 3}).decoding()
    assert (named.num_beams, named.no_repeat_ngram_size) == (3, 3)


def checkpoint(folder: Path, file: str = "generation_config.json", **settings: object) -> Path:
    (folder / file).write_text(json.dumps(settings))
    return folder


def test_what_a_checkpoint_sets_holds_where_nobody_chose(tmp_path: Path) -> None:
    """transformers applies `generation_config.json` to all that its caller does not name."""
    folder = checkpoint(tmp_path, top_k=20, no_repeat_ngram_size=4, do_sample=True, top_p=0.8)
    brought = brought_settings(folder, sampling=True)
    assert brought == {"top_k": 20, "no_repeat_ngram_size": 4}
    sampled = protocol("libra-script-sample").over(brought)
    assert (sampled.top_k, sampled.no_repeat_ngram_size, sampled.top_p) == (20, 4, 0.6)
    assert "top_k=20" in sampled.signature()
    # Chosen by the protocol, chosen by the caller, looked at by nobody.
    assert protocol("libra-paper").over(brought) == protocol("libra-paper")
    assert protocol("libra-script-sample").over(brought, ["top_k"]).top_k == 50
    assert protocol("greedy").over(brought).top_k == 50
    # Without the file config.json counts; null switches off.
    folder = checkpoint(tmp_path, "config.json", top_k=7)
    assert brought_settings(folder, sampling=True)["top_k"] == 20
    (folder / "generation_config.json").unlink()
    assert brought_settings(folder, sampling=True) == {"top_k": 7}
    assert brought_settings(checkpoint(tmp_path, top_k=None), sampling=True) == {"top_k": 0}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"suppress_tokens": [3, 4]}, r"suppress_tokens \[3, 4\]"),
        ({"min_length": 9, "early_stopping": True}, "early_stopping True\n  min_length 9"),
        ({"top_k": -1}, "top_k is -1"),
        ({"no_repeat_ngram_size": "3"}, "no_repeat_ngram_size is '3'"),
    ],
)
def test_settings_of_a_checkpoint_that_are_not_known_are_refused(
    tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        brought_settings(checkpoint(tmp_path, **settings), sampling=False)


def test_settings_of_a_checkpoint_without_effect_are_passed_over(tmp_path: Path) -> None:
    plain = {"min_length": 0, "typical_p": 1.0, "early_stopping": False, "bad_words_ids": None}
    folder = checkpoint(tmp_path, **plain, repetition_penalty=1.0, num_beam_groups=1)
    assert brought_settings(folder, sampling=True) == {}
    folder = checkpoint(tmp_path, min_p=0.1)
    assert brought_settings(folder, sampling=False) == {}
    with pytest.raises(InputError, match=r"min_p 0\.1"):
        brought_settings(folder, sampling=True)


def test_a_repetition_penalty_is_left_out_aloud(tmp_path: Path) -> None:
    """transformers' own gathers scores by the prompt's ids, of which one is -200."""
    folder = checkpoint(tmp_path, repetition_penalty=1.05)
    with pytest.warns(Notice, match=r"repetition_penalty 1\.05 is left out"):
        assert brought_settings(folder, sampling=False) == {}
    processor = RepetitionPenaltyLogitsProcessor(1.05)
    with pytest.raises((RuntimeError, IndexError)):
        processor(torch.tensor([[1, -200, 3]]), torch.zeros(1, 300))
