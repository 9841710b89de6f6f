"""Choices of the searches, each worked out on paper."""

import torch
from torch import Tensor

from libra_bench.generation import search
from libra_bench.generation.protocols import Decoding

CPU = torch.device("cpu")


def begun(decoding: Decoding, prompt: list[int], eos: list[int]) -> search.Search:
    found = search.start(1, len(prompt), decoding, eos, CPU)
    found.begin(0, torch.tensor(prompt), seed=0)
    return found


def likely(size: int, *best: int) -> Tensor:
    """Logits [1, 1, size] with the best tokens in their order."""
    scores = torch.zeros(1, 1, size)
    for place, token in enumerate(best):
        scores[0, 0, token] = 9.0 - place
    return scores


def test_the_images_place_is_counted_from_the_vocabularys_end() -> None:
    decoding = Decoding("ban", no_repeat_ngram_size=3, max_new_tokens=4)
    # After 5 6 came -200 before: of 300 tokens that is token 100, not 0.
    found = begun(decoding, [5, 6, -200, 5, 6], [1])
    assert found.advance([0], likely(300, 100, 0))[0].tolist() == [[0]]


def test_a_ban_of_single_tokens_and_of_pairs() -> None:
    one = begun(Decoding("ban", no_repeat_ngram_size=1, max_new_tokens=4), [5, 6], [1])
    assert one.advance([0], likely(10, 6, 5, 4))[0].tolist() == [[4]]
    pairs = Decoding("ban", no_repeat_ngram_size=2, max_new_tokens=5)
    two = begun(pairs, [5, 6, 7, 5], [1])
    # 5 6 was there; 5 7 was not.
    assert two.advance([0], likely(10, 6, 7))[0].tolist() == [[7]]
    # 7 5 was there; 7 4 and 4 5 were not. And what was chosen counts: 5 7 has been there now.
    assert two.advance([0], likely(10, 5, 4))[0].tolist() == [[4]]
    assert two.advance([0], likely(10, 5, 3))[0].tolist() == [[5]]
    assert two.advance([0], likely(10, 7, 8))[0].tolist() == [[8]]


def test_no_end_before_the_least_number_of_tokens() -> None:
    decoding = Decoding("least", min_new_tokens=2, max_new_tokens=3)
    found = begun(decoding, [5], [1])
    assert found.advance([0], likely(10, 1, 4))[0].tolist() == [[4]] and not found.done[0]
    assert found.advance([0], likely(10, 1, 4))[0].tolist() == [[4]] and not found.done[0]
    assert found.advance([0], likely(10, 1, 4))[0].tolist() == [[1]] and found.done[0]
    assert found.answer(0) == [4, 4, 1]


def test_the_last_token_ends_an_answer() -> None:
    found = begun(Decoding("short", max_new_tokens=2), [5], [1])
    found.advance([0], likely(10, 4))
    assert not found.done[0]
    found.advance([0], likely(10, 3))
    assert found.done[0] and found.answer(0) == [4, 3]


def step(found: search.Search, *rows: tuple[float, ...]) -> tuple[list[int], list[int]]:
    tokens, origins = found.advance([0], torch.tensor([rows]).log())
    return tokens[0].tolist(), origins[0].tolist()


def test_all_beams_go_on_though_every_end_token_is_likelier() -> None:
    """Ends 2, 3 and 4 have .3, .25 and .2: two beams need the best (1 + 3) * 2 continuations."""
    decoding = Decoding("ends", num_beams=2, max_new_tokens=3)
    found = begun(decoding, [9], [2, 3, 4])
    row = (0.14, 0.11, 0.3, 0.25, 0.2)
    assert step(found, row, row) == ([0, 1], [0, 0])
    # Only the best two may finish, with log .3 and log .25; what runs has log .14 and no chance.
    assert found.done[0] and found.answer(0) == [2]


def test_a_search_ends_when_no_beam_could_beat_the_worst_answer_at_its_present_length() -> None:
    decoding = Decoding("hand", num_beams=2, max_new_tokens=5, length_penalty=1.0)
    found = begun(decoding, [9], [3])
    # The end is kept with log .5 = -0.693; 0 (.3) and 1 (.2) go on.
    assert step(found, (0.3, 0.2, 0.0, 0.5), (0.3, 0.2, 0.0, 0.5)) == ([0, 1], [0, 0])
    assert not found.done[0]
    # 0→3 is kept with log(.3 * .7) / 2 = -0.780. Best that runs is 1→1, log(.2 * .9) = -1.715: at
    # its 2 tokens -0.857, which is worse (at 3 tokens it would be -0.572).
    step(found, (0.2, 0.1, 0.0, 0.7), (0.05, 0.9, 0.05, 0.0))
    assert found.done[0] and found.answer(0) == [3]


def test_a_beam_that_could_still_win_goes_on() -> None:
    decoding = Decoding("hand", num_beams=2, max_new_tokens=5, length_penalty=1.0)
    found = begun(decoding, [9], [3])
    step(found, (0.35, 0.25, 0.0, 0.4), (0.35, 0.25, 0.0, 0.4))
    # Kept: log .4 = -0.916 and log(.35 * .6) / 2 = -0.780; 1→1 has log(.25 * .8) / 2 = -0.805.
    step(found, (0.4, 0.0, 0.0, 0.6), (0.1, 0.8, 0.1, 0.0))
    assert not found.done[0] and found.answer(0) == [0, 3]


def test_the_length_penalty_is_a_power_of_the_answers_length() -> None:
    """Of [3], log .3 / 1, and [0, 3], log(.5 * .3) / 2^2 = -0.474, the second wins; by sums, the
    first: -1.204 against -1.897."""
    for penalty, best in ((2.0, [0, 3]), (0.0, [3])):
        decoding = Decoding("hand", num_beams=2, max_new_tokens=2, length_penalty=penalty)
        found = begun(decoding, [9], [3])
        step(found, (0.5, 0.2, 0.0, 0.3), (0.5, 0.2, 0.0, 0.3))
        step(found, (0.25, 0.25, 0.2, 0.3), (0.25, 0.25, 0.25, 0.25))
        assert found.done[0] and found.answer(0) == best


def test_places_are_kept_with_all_that_they_hold() -> None:
    found = search.start(3, 2, Decoding("g", max_new_tokens=3), [1], CPU)
    for place, prompt in enumerate(([5], [6, 7], [8])):
        found.begin(place, torch.tensor(prompt), seed=place)
    found.advance([0, 1, 2], torch.cat([likely(10, token) for token in (2, 3, 4)]))
    found.keep([1, 2])
    assert (found.lengths, found.new) == ([3, 2], [1, 1])
    assert [found.answer(place) for place in (0, 1)] == [[3], [4]]
