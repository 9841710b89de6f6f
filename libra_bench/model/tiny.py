"""The shape of `libra-tiny`, and what its training begins with: random weights and a tokenizer.

Libra's architecture in small: a DINOv2 tower of 12 layers, TAC, a Llama. Its tokenizer is
trained on the reports of the synthetic cohort. How it is trained from there:
`libra_bench/training/recipe.py`.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch

from libra_bench.core.files import write_atomic, write_json
from libra_bench.data.corpora import load
from libra_bench.model.configuration import parse_config
from libra_bench.model.conversation import IMAGE_TAG, conversation
from libra_bench.model.libra import LibraModel
from libra_bench.model.saving import save_model

SEED = 20
VOCABULARY = 1024
TOWER_WIDTH = 48
IMAGE_SIZE = 112
CONVERSATION = "libra_v1"

CONFIG: dict[str, Any] = {
    "architectures": ["LibraLlamaForCausalLM"],
    "model_type": "libra",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
    "image_aspect_ratio": "pad",
    "mm_hidden_size": TOWER_WIDTH,
    "mm_projector_type": "TAC",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "mm_vision_select_layer": "all",
    "mm_vision_tower": "vision_tower",
    "libra_bench": {"trained": False, "seed": SEED},
}
TOWER_CONFIG: dict[str, Any] = {
    "architectures": ["Dinov2Model"],
    "model_type": "dinov2",
    "hidden_size": TOWER_WIDTH,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "mlp_ratio": 2,
    "image_size": IMAGE_SIZE,
    "patch_size": 14,
}
PREPROCESSING: dict[str, Any] = {
    "do_center_crop": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
    "image_mean": [0.5307, 0.5307, 0.5307],
    "image_std": [0.2583, 0.2583, 0.2583],
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"shortest_edge": IMAGE_SIZE},
}


def build(folder: Path) -> None:
    """Write the untrained checkpoint into `folder`, in the published layout, the tower inside."""
    from transformers import AutoModelForCausalLM, Dinov2Config, Dinov2Model

    write_json(folder / "config.json", CONFIG)
    write_json(folder / "vision_tower" / "config.json", TOWER_CONFIG)
    write_json(folder / "vision_tower" / "preprocessor_config.json", PREPROCESSING)
    _write_tokenizer(folder)
    config = parse_config(CONFIG, "libra-tiny")
    torch.manual_seed(SEED)
    model = LibraModel(
        config,
        Dinov2Model(Dinov2Config(**TOWER_CONFIG)),
        AutoModelForCausalLM.from_config(config.language),
    )
    save_model(model, folder / "model.safetensors", dtype=torch.float16)


def _write_tokenizer(folder: Path) -> None:
    import sentencepiece

    examples = load("synthetic", split="train").examples
    mode = conversation(CONVERSATION)
    texts = [text for one in examples for text in (one.reference, mode.prompt(one.text))]
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.replace(IMAGE_TAG, "") for text in texts),
        model_writer=buffer,
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    write_atomic(folder / "tokenizer.model", buffer.getvalue())
    special = {
        str(number): {"content": text, "special": True}
        for number, text in enumerate(("<unk>", "<s>", "</s>"))
    }
    settings = {
        "add_bos_token": True,
        "added_tokens_decoder": special,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<unk>",
        "unk_token": "<unk>",
        "tokenizer_class": "LlamaTokenizer",
        "legacy": True,
        "model_max_length": CONFIG["max_position_embeddings"],
    }
    write_atomic(folder / "tokenizer_config.json", json.dumps(settings, indent=1) + "\n")
