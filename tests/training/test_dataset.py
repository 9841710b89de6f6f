"""Conversations become the published trainer's ids, labels and losses; bad ones are named."""

import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from corpus import ANSWERS, QUESTION, row, write

from libra_bench.core.errors import InputError
from libra_bench.model.conversation import conversation
from libra_bench.model.libra import IGNORED
from libra_bench.model.loading import LoadedModel, load_model
from libra_bench.model.supervision import supervised
from libra_bench.training.conversations import TrainingConversation, read_conversations
from libra_bench.training.dataset import ConversationDataset, collate
from libra_bench.training.module import TrainedLibra

PARITY = Path(
    os.environ.get("LIBRA_BENCH_PARITY", Path(__file__).resolve().parents[3] / "shared" / "parity")
)
KITS = [
    place.parent
    for place in sorted(PARITY.glob("libra-*/expected.json"))
    if json.loads(place.read_text()).get("training")
]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model("libra-tiny", device="cpu")


def frozen(loaded: LoadedModel) -> TrainedLibra:
    return TrainedLibra(loaded.model, connector=True, language=False, tower=False).eval()


@pytest.mark.skipif(not KITS, reason="needs the kits; set LIBRA_BENCH_PARITY")
@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)
def test_ids_labels_and_losses_of_the_published_trainer(kit: Path) -> None:
    """The kits' losses were computed with the padding of inference."""
    expected = json.loads((kit / "expected.json").read_text())
    cases = {case["id"]: case for case in expected["cases"]}
    mode = next(iter(cases.values()))["conv_mode"]
    tower = next(one for one in (kit / "rad-dino", kit / "clip") if one.is_dir())
    loaded = load_model(
        kit / "checkpoint", vision_tower=tower, conv_mode=mode, device="cpu", dtype="float32"
    )
    rows = expected["training"]
    data = ConversationDataset(
        [
            TrainingConversation(
                one["id"],
                tuple(cases[one["id"]]["images"]),
                ((cases[one["id"]]["text"], one["answer"]),),
            )
            for one in rows
        ],
        loaded,
        kit / "images",
        max_length=2048,
        padding="mean",
    )
    module = frozen(loaded)
    items = [data[place] for place in range(len(rows))]
    sums, counts = [], []
    for one, item in zip(rows, items, strict=True):
        assert item.input_ids.tolist() == one["input_ids"]
        assert item.labels.tolist() == one["labels"]
        batch = collate([item])
        batch.pop("skipped")
        with torch.no_grad():
            loss = float(module(**batch)["loss"])
        assert loss == pytest.approx(one["loss"], abs=1e-4)
        counts.append(int((item.labels[1:] != IGNORED).sum()))
        sums.append(loss * counts[-1])
    # Together, with and without a prior and of different lengths: the mean over all tokens.
    batch = collate(items)
    batch.pop("skipped")
    with torch.no_grad():
        together = float(module(**batch)["loss"])
    assert together == pytest.approx(sum(sums) / sum(counts), abs=1e-5)


@pytest.mark.parametrize("mode", ["libra_v1", "conv_phi3", "mistral_direct"])
def test_later_turns_are_learned_too(loaded: LoadedModel, mode: str) -> None:
    chosen, tokenizer = conversation(mode), loaded.tokenizer
    first, _ = supervised("First?", "One.", chosen, tokenizer)
    ids, labels = supervised("First?", "One.", chosen, tokenizer, later=[("More?", "Two, three.")])
    assert ids[: len(first)].tolist() == first.tolist()
    learned = tokenizer.decode([one for one in labels.tolist() if one != IGNORED])
    assert "One." in learned and "Two, three." in learned
    assert "More" not in learned and "First" not in learned


@pytest.mark.parametrize("mode", ["llama_2", "libra_llama_3", "qwen", "mpt", "conv_gemma"])
def test_every_style_takes_several_turns_and_learns_each_answer(
    loaded: LoadedModel, mode: str
) -> None:
    """Where the published trainer's counts fail and it masks all, the answers are found."""
    turns = [("More?", "Two, three."), ("Else?", "None.")]
    ids, labels = supervised("First?", "One.", conversation(mode), loaded.tokenizer, later=turns)
    learned = loaded.tokenizer.decode([one for one in labels.tolist() if one != IGNORED])
    assert all(answer in learned for answer in ("One.", "Two, three.", "None."))
    assert not any(question in learned for question in ("First", "More", "Else"))
    assert (labels == IGNORED).sum() + (labels == ids).sum() == len(ids)


def test_as_published_a_conversation_is_cut_and_masked(loaded: LoadedModel, data: Path) -> None:
    rows = read_conversations(data)
    whole = ConversationDataset(rows, loaded, data.parent, max_length=2048)
    longest = max(len(whole[place].input_ids) for place in range(len(whole)))
    # Fewer positions than any image needs: all are left out, where theirs cuts the ids.
    with pytest.raises(InputError, match="no conversation can be learned from"):
        ConversationDataset(rows, loaded, data.parent, max_length=longest - 1)
    theirs = ConversationDataset(
        rows, loaded, data.parent, max_length=longest - 1, as_published=True
    )
    assert len(theirs) == len(rows) and not theirs.refused
    cut = [theirs[place] for place in range(len(theirs))]
    assert max(len(one.input_ids) for one in cut) == longest - 1
    gemma = replace(loaded, conversation=conversation("conv_gemma"))
    masked = ConversationDataset(rows, gemma, data.parent, max_length=2048, as_published=True)
    assert all(bool((masked[place].labels == IGNORED).all()) for place in range(len(masked)))


def test_batches_hold_each_image_once(loaded: LoadedModel, data: Path) -> None:
    dataset = ConversationDataset(read_conversations(data), loaded, data.parent, max_length=2048)
    batch = collate([dataset[0], dataset[1]])
    assert batch["pixels"].shape == (3, 3, 112, 112)
    assert batch["current"].tolist() == [0, 1] and batch["prior"].tolist() == [0, 2]
    # Training pads with black, inference with the mean colour.
    dark = (0 - 0.5307) / 0.2583
    assert float(batch["pixels"][0, 0, 0, 0]) == pytest.approx(dark, abs=1e-3)


def test_what_cannot_be_learned_is_left_out_and_named(loaded: LoadedModel, tmp_path: Path) -> None:
    long, empty = row(1), row(2)
    long["conversations"][1]["value"] = "The lungs are clear. " * 300
    empty["conversations"][1]["value"] = "  "
    path = write(tmp_path, 4, [row(0), long, empty, row(3)])
    dataset = ConversationDataset(read_conversations(path), loaded, tmp_path, max_length=512)
    assert [one.id for one in dataset.conversations] == ["s0", "s3"]
    assert "'s1'" in dataset.refused[0] and "512 is the limit" in dataset.refused[0]
    assert "'s2': no answer" in dataset.refused[1]
    with pytest.raises(InputError, match="no conversation can be learned from"):
        ConversationDataset(read_conversations(path), loaded, tmp_path, max_length=80)


def test_a_missing_image_is_replaced_by_the_next_and_counted(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    path = write(tmp_path, 4)
    (tmp_path / "2.png").unlink()
    (tmp_path / "0.png").write_bytes(b"no image")
    dataset = ConversationDataset(read_conversations(path), loaded, tmp_path, max_length=2048)
    with pytest.warns(UserWarning, match="skipped id 's1'"):
        item = dataset[1]  # Its prior and the next study's image are the missing one.
    assert item.skipped == 2
    assert torch.equal(item.input_ids, dataset[3].input_ids)
    with pytest.warns(UserWarning, match="skipped id 's0'"):
        items = [dataset[0], dataset[3]]
    assert int(collate(items)["skipped"]) == 3
    for image in tmp_path.glob("*.png"):
        image.unlink()
    with pytest.warns(UserWarning), pytest.raises(InputError, match="4 conversations in a row"):
        dataset[0]


def turns(*speakers: str, tag: str = "<image>\n") -> list[dict[str, str]]:
    texts = (f"{tag if place == 0 else ''}text" for place in range(len(speakers)))
    return [{"from": one, "value": text} for one, text in zip(speakers, texts, strict=True)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": ["0.png", "1.png", "2.png"]}, r"id 's1'\): image: .*at most 2"),
        ({"image": []}, "at least 1"),
        ({"conversations": turns("human", "human")}, "take turns"),
        ({"conversations": turns("human", "gpt", "human")}, "take turns"),
        ({"conversations": turns("human", "gpt", tag="")}, "must stand once"),
        ({"conversations": turns("human", "gpt", tag="<image><image>")}, "must stand once"),
        ({"conversations": [*turns("human", "gpt")] * 2}, "must stand once"),
        ({"conversations": "none"}, "conversations: "),
    ],
)
def test_malformed_conversations(tmp_path: Path, changes: dict, message: str) -> None:
    path = write(tmp_path, 2, [row(0), row(1, **changes), 7])
    with pytest.raises(InputError, match=message) as caught:
        read_conversations(path)
    assert "entry 1" in str(caught.value) and "entry 2 (id None)" in str(caught.value)


def test_a_training_file_reads_as_it_was_meant(tmp_path: Path) -> None:
    greeting = row(0, id=7, image="0.png")
    greeting["conversations"] = [{"from": "gpt", "value": "Hello."}, *greeting["conversations"]]
    (one,) = read_conversations(write(tmp_path, 1, [greeting]))
    assert one == TrainingConversation("7", ("0.png",), ((QUESTION, ANSWERS[0]),))
    for text in ("{}", "[]", "[1"):
        (tmp_path / "train.json").write_text(text)
        with pytest.raises(InputError, match=r"train\.json"):
            read_conversations(tmp_path / "train.json")


def test_padding_teaches_nothing(loaded: LoadedModel, data: Path) -> None:
    dataset = ConversationDataset(read_conversations(data), loaded, data.parent, max_length=2048)
    batch: dict[str, Any] = collate([dataset[0], dataset[2]])
    longest = int(batch["lengths"].max())
    assert batch["input_ids"].shape == batch["labels"].shape == (2, longest)
    short = int(batch["lengths"].min())
    place = int(batch["lengths"].argmin())
    assert (batch["labels"][place, short:] == IGNORED).all()


def test_an_image_root_without_any_image_is_one_message(
    loaded: LoadedModel, data: Path, tmp_path: Path
) -> None:
    conversations = read_conversations(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            InputError, match=r"none of the \d+ conversations has its images"
        ) as told:
            ConversationDataset(conversations, loaded, tmp_path, max_length=2048)
    assert "\n" not in str(told.value)
