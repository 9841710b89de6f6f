"""What the published trainer does otherwise, by the option that repeats it."""

from pathlib import Path

import pytest
import torch
from corpus import row, run, write

from libra_bench.core.errors import InputError
from libra_bench.model.libra import IGNORED
from libra_bench.model.loading import load_model
from libra_bench.training.conversations import read_conversations
from libra_bench.training.dataset import ConversationDataset, collate
from libra_bench.training.module import TrainedLibra
from libra_bench.training.stages import training_arguments


def test_accumulated_batches_count_alike_as_published_and_by_tokens_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two batches of one conversation, one long and one short, make one step."""
    monkeypatch.setattr("libra_bench.model.connector.DROPOUT", 0.0)
    question = row(0)["conversations"][0]
    answers = ("Clear.", "The heart is normal in size. " * 4)
    rows = [
        row(number, conversations=[question, {"from": "gpt", "value": answer}])
        for number, answer in enumerate(answers)
    ]
    data = write(tmp_path, 2, rows)
    losses = {}
    for published in ("true", "false"):
        given = ("--per_device_train_batch_size", "1", "--gradient_accumulation_steps", "2")
        settings = ("--max_steps", "1", "--lora_dropout", "0", "--as_published", published)
        out = tmp_path / published
        losses[published] = run(data, out, *given, *settings, stage="finetune").losses[1]
    loaded = load_model("libra-tiny", device="cpu", training=True)
    dataset = ConversationDataset(read_conversations(data), loaded, data.parent, max_length=2048)
    module = TrainedLibra(loaded.model, connector=False, language=False, tower=False)
    means, counts = [], []
    for place in range(2):
        batch = collate([dataset[place]])
        batch.pop("skipped")
        with torch.no_grad():
            means.append(float(module(**batch)["loss"]))
        counts.append(int((batch["labels"][:, 1:] != IGNORED).sum()))
    assert counts[0] < counts[1]
    by_tokens = sum(mean * count for mean, count in zip(means, counts, strict=True)) / sum(counts)
    assert abs(by_tokens - sum(means) / 2) > 1e-2
    assert losses["true"] == pytest.approx(sum(means) / 2, rel=1e-4)
    assert losses["false"] == pytest.approx(by_tokens, rel=1e-4)


def test_a_frozen_connector_keeps_its_dropout_as_published() -> None:
    for published in (True, False):
        model = load_model("libra-tiny", device="cpu").model
        module = TrainedLibra(
            model, connector=False, language=False, tower=False, as_published=published
        ).train()
        assert module.model.connector.training is published
        assert not module.model.vision_tower.training


def test_warm_up_by_its_older_name() -> None:
    assert training_arguments("align", "out", ("--warmup_ratio", "0.1")).warmup_steps == 0.1
    both = ("--warmup_ratio", "0.1", "--warmup_steps", "7")
    assert training_arguments("align", "out", both).warmup_steps == 7
    with pytest.raises(InputError, match=r"--warmup_ratio 3\.0: a share"):
        training_arguments("align", "out", ("--warmup_ratio", "3"))
