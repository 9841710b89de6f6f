"""What a notebook may hand over by mistake: one clear error, never a figure."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import libra_bench
from libra_bench.core.errors import InputError

ONE = libra_bench.Example(question_id="1", image=["a.png"], text="q")


@pytest.mark.parametrize(
    "pairs",
    [
        ([], []),
        ([None], [None]),
        (["a"], [None]),
        ([None], ["a"]),
        (["a", "b"], ["", "  "]),
        (["a", None], [math.nan, "b"]),
    ],
)
def test_nothing_to_score(pairs: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match="nothing can be scored: of "):
        libra_bench.score(*pairs, ["rouge_l"])


def test_some_to_score() -> None:
    found = libra_bench.score(["the lungs", None], ["the lungs", "b"], ["rouge_l"])
    assert (found.figures["rouge_l"].value, found.figures["rouge_l"].unscored) == (100.0, 1)
    with pytest.raises(InputError, match="prediction 0: a text was expected, not 5"):
        libra_bench.score([5], ["a"], ["rouge_l"])
    with pytest.raises(InputError, match="0 predictions, 1 references"):
        libra_bench.score([], ["a"], ["rouge_l"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: libra_bench.load_data(5), "data 5: a text such as"),
        (lambda: libra_bench.load_data(None), "data None: a text such as"),
        (lambda: libra_bench.load_data(Path("x.jsonl")), "a text such as 'jsonl:FILE'"),
        (lambda: libra_bench.load_data("synthetic", split=3), "split 3: a name"),
        (lambda: libra_bench.load_data("synthetic", section=None), "section None: a name"),
        (lambda: libra_bench.load_data("synthetic", limit="5"), "limit '5': a whole number"),
        (lambda: libra_bench.load_data("synthetic", limit=True), "limit True: a whole number"),
        (lambda: libra_bench.load_model("libra-tiny", image_root=5), "image_root: a path"),
        (lambda: libra_bench.load_model("normal-template", conv_mode="v1"), "--conv-mode"),
        (lambda: libra_bench.load_data("openi:" + "x" * 5000), "--data openi: 'xxx"),
        (lambda: libra_bench.load_data("parquet:a\0b"), "--data parquet: .*null"),
        (lambda: libra_bench.score(["a"], ["a"], profile=5), "unknown profile 5"),
        (lambda: libra_bench.load_model("libra-tiny", device=0), "device 0: a name"),
        (lambda: libra_bench.load_model("libra-tiny", dtype=float), "dtype .*: a name"),
        (lambda: libra_bench.load_model("libra-tiny", engine=None), "engine None: a name"),
        (lambda: libra_bench.load_model("libra-tiny", protocol=5), "protocol 5: a name"),
        (lambda: libra_bench.load_model("libra-tiny", num_beams="3"), "num_beams must be a whole"),
        (lambda: libra_bench.load_model("libra-tiny", num_beams=2.5), "num_beams must be a whole"),
        (lambda: libra_bench.load_model("libra-tiny", top_p="0.5"), "top_p must be a number"),
        (lambda: libra_bench.load_model("libra-tiny", do_sample=1), "do_sample must be true or"),
        (lambda: libra_bench.pair(None, policy=5), "unknown .* 5"),
        (lambda: libra_bench.compare(5, 6), "a: a path was expected, not 5"),
        (lambda: libra_bench.pair("x.csv"), "frame: a pandas DataFrame was expected, not str"),
    ],
)
def test_other_kinds(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["x"], "example 0: an Example was expected, not 'x'"),
        ([ONE, {"question_id": "2"}], "example 1: an Example was expected"),
        ("x", "a list of Example was expected, not str"),
        (ONE, "a list of Example was expected, not Example"),
        (5, "a list of Example was expected, not int"),
        ([ONE, ONE], "id '1' stands 2 times"),
    ],
)
def test_what_is_no_example(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        libra_bench.load_model("normal-template").generate(given)


def test_any_iterable_of_examples() -> None:
    model = libra_bench.load_model("normal-template")
    assert [one.question_id for one in model.generate(iter([ONE]))] == ["1"]  # type: ignore[arg-type]
    assert model.generate([]) == []
