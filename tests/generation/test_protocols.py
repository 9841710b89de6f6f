import pytest

from libra_bench.core.errors import InputError
from libra_bench.generation.protocols import Decoding, protocol
from libra_bench.generation.shards import take


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
