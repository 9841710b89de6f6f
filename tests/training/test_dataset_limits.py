"""How long a conversation may be, to the position, and how its images are padded."""

from dataclasses import replace
from pathlib import Path

import pytest
from corpus import row, run, write

from libra_bench.core.errors import InputError
from libra_bench.model.loading import LoadedModel, load_model
from libra_bench.training.conversations import read_conversations
from libra_bench.training.dataset import ConversationDataset

PATCHES = (112 // 14) ** 2
"""Positions of an image in `libra-tiny`."""


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model("libra-tiny", device="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("one"), 1, [row(0)])


def dataset(loaded: LoadedModel, data: Path, longest: int = 2048) -> ConversationDataset:
    return ConversationDataset(read_conversations(data), loaded, data.parent, max_length=longest)


def test_the_image_takes_the_place_of_its_one_id(loaded: LoadedModel, data: Path) -> None:
    made = dataset(loaded, data)
    assert made.lengths == [len(made[0].input_ids) - 1 + PATCHES]


def test_a_conversation_as_long_as_the_limit_is_kept(loaded: LoadedModel, data: Path) -> None:
    (length,) = dataset(loaded, data).lengths
    assert len(dataset(loaded, data, length)) == 1
    with pytest.raises(InputError, match=f"{length} positions, {length - 1} is the limit"):
        dataset(loaded, data, length - 1)


def test_the_models_own_context_is_a_limit_too(
    loaded: LoadedModel, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (length,) = dataset(loaded, data).lengths
    language = loaded.config.language
    monkeypatch.setattr(language, "max_position_embeddings", length)
    assert len(dataset(loaded, data)) == 1
    monkeypatch.setattr(language, "max_position_embeddings", length - 1)
    with pytest.raises(InputError, match=f"{length - 1} is the limit"):
        dataset(loaded, data)


def test_images_are_padded_only_where_the_checkpoint_pads(
    loaded: LoadedModel, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is 120 high and 100 wide: padded with black, its first column is all the same."""

    def column(made: ConversationDataset) -> float:
        return float(made[0].images[0][0, :, 0].std())

    assert column(dataset(loaded, data)) < 1e-5
    plain = replace(loaded.config, pad=False)
    monkeypatch.setattr(loaded.model, "config", plain)
    assert column(dataset(loaded, data)) > 1e-2


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_none(data: Path, tmp_path: Path, limit: int) -> None:
    """Read from the end, -1 would leave out the last conversation without a word."""
    with pytest.raises(InputError, match=f"limit {limit}: at least 1"):
        run(data, tmp_path / "out", limit=limit)
