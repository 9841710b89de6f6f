"""A small training corpus for the tests, made on the spot: noise for images, four reports."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from PIL import Image

from libra_bench.model import zoo
from libra_bench.model.loading import load_model
from libra_bench.model.saving import save_model
from libra_bench.training.run import Trained, TrainingSettings, train

TINY = Path(zoo.__file__).parent / "libra_tiny"
QUESTION = "Provide a detailed description of the findings in the radiology image."
ANSWERS = (
    "The heart is normal in size.",
    "No pleural effusion or pneumothorax is seen.",
    "Stable cardiomegaly. Unchanged left basilar atelectasis.",
    "The lungs are clear.",
)
COMMON = (
    *("--per_device_train_batch_size", "2", "--dataloader_num_workers", "0"),
    *("--use_cpu", "true", "--learning_rate", "1e-3", "--disable_tqdm", "true"),
)


def row(number: int, **changes: Any) -> dict[str, Any]:
    """Every second study has a prior image."""
    images = [f"{number}.png", f"{number + 1}.png"] if number % 2 else [f"{number}.png"]
    return {
        "id": f"s{number}",
        "image": images,
        "conversations": [
            {"from": "human", "value": f"<image>\n{QUESTION}"},
            {"from": "gpt", "value": ANSWERS[number % 4]},
        ],
        **changes,
    }


def write(folder: Path, count: int = 12, rows: list[Any] | None = None) -> Path:
    """Images and the training file below `folder`; the file's path."""
    draw = np.random.default_rng(0)
    for number in range(count + 1):
        pixels = draw.integers(0, 255, (120, 100 + number), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    path = folder / "train.json"
    path.write_text(json.dumps(rows or [row(number) for number in range(count)]))
    return path


def checkpoint(folder: Path) -> Path:
    """A model smaller than `libra-tiny` that nothing outside this file changes."""
    tower = {
        "model_type": "dinov2",
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "mlp_ratio": 2,
        "num_attention_heads": 2,
        "image_size": 42,
        "patch_size": 14,
    }
    raw = {
        "model_type": "libra",
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 512,
        "image_aspect_ratio": "pad",
        "mm_hidden_size": 16,
        "mm_projector_type": "TAC",
        "mm_use_im_patch_token": False,
        "mm_vision_select_layer": "all",
        "mm_vision_tower": "vision_tower",
    }
    place = folder / "vision_tower"
    place.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(raw))
    (place / "config.json").write_text(json.dumps(tower))
    settings = {"size": 42, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (place / "preprocessor_config.json").write_text(json.dumps(settings))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter((*ANSWERS, QUESTION, "USER: ASSISTANT:")),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=320,
        byte_fallback=True,
        num_threads=1,
        hard_vocab_limit=True,
        minloglevel=2,
    )
    model = load_model(folder, random_weights=True, device="cpu").model
    # Drawn by hand, so that no release of torch or transformers begins otherwise.
    draw = np.random.default_rng(7)
    with torch.no_grad():
        for name, one in sorted(model.named_parameters()):
            scale = 0.02 if one.dim() > 1 else 0.01
            values = np.asarray(draw.standard_normal(tuple(one.shape)) * scale)
            one.copy_(
                torch.from_numpy(values) + (1.0 if "norm" in name and "weight" in name else 0)
            )
    save_model(model, folder / "model.safetensors")
    return folder


def run(data: Path, output: Path, *given: str, stage: str = "align", **settings: Any) -> Trained:
    """A training run on the CPU, with `libra-tiny` unless told otherwise."""
    return train(
        TrainingSettings(
            stage=stage,
            model=settings.pop("model", "libra-tiny"),
            data=data,
            image_root=settings.pop("image_root", data.parent),
            output=output,
            given=(*COMMON, *given),
            **settings,
        )
    )
