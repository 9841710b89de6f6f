"""Small checkpoints in the published layout of every named model, in a made-up hub cache.

Weights are random with a fixed seed. What could be read in public of each layout stands in
`docs/models.md`, and what could not.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel, Dinov2Config, Dinov2Model

from libra_bench.model.assembly import CONNECTOR, TOWER, with_random_weights
from libra_bench.model.configuration import parse_config
from libra_bench.model.saving import connector_state, published_state

FORMS = Path(__file__).resolve().parent / "forms"
SIDE, PATCH, LAYERS = 56, 14, 4
WORDS = (
    "Provide a detailed description of the findings in the radiology image.",
    "A chat between a curious user and an artificial intelligence assistant.",
    "The heart is normal in size. The lungs are clear. USER: ASSISTANT: [INST] [/INST]",
)
PIXELS = {
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "size": {"shortest_edge": SIDE},
    "resample": 3,
    "image_mean": [0.5307, 0.5307, 0.5307],
    "image_std": [0.2583, 0.2583, 0.2583],
}
LANGUAGE: dict[str, Any] = {
    "vocab_size": 330,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float16",
    "mm_use_im_patch_token": False,
    "mm_use_im_start_end": False,
    "mm_vision_select_feature": "patch",
    "use_mm_proj": True,
}
RAD_DINO, CLIP = "microsoft/rad-dino", "openai/clip-vit-large-patch14-336"
TAC = {"mm_projector_type": "TAC", "mm_vision_select_layer": "all", "mm_vision_tower": RAD_DINO}
MLP = {"mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_hidden_size": 24}
FIELDS: dict[str, dict[str, Any]] = {
    "libra-7b": {"model_type": "libra", "image_aspect_ratio": "pad", "mm_hidden_size": 16, **TAC},
    "libra-3b": {"model_type": "libra", "image_aspect_ratio": "pad", "mm_hidden_size": 16, **TAC},
    "med-cxrgen-f": {"model_type": "libra", "image_aspect_ratio": "pad", "mm_vision_tower": CLIP}
    | MLP,
    "med-cxrgen-i": {"model_type": "libra", "image_aspect_ratio": "pad", "mm_vision_tower": CLIP}
    | MLP,
    "llava-med": {
        "model_type": "libra_mistral",
        "sliding_window": None,
        "image_aspect_ratio": "pad",
        "mm_vision_tower": CLIP,
        "unfreeze_mm_vision_tower": True,
        **MLP,
    },
    "llava-rad": {
        "model_type": "libra",
        "image_aspect_ratio": "square",
        "mm_vision_tower": "biomedclip_cxr_518",
        "mm_vision_tower_config": "biomedclipcxr_518.json",
        "mm_vision_tower_checkpoint": "biomedclipcxr_518_checkpoint.pt",
        **MLP,
        "mm_hidden_size": 192,
    },
    "maira-2": {
        "model_type": "libra",
        "image_aspect_ratio": "pad",
        "mm_vision_tower": "microsoft/rad-dino-maira-2",
        "mm_projector_type": "mlp4x_gelu",
        "mm_vision_select_layer": -1,
        "mm_hidden_size": 16,
        "use_maira_feature_norm": True,
    },
}


def build(name: str, hub_id: str, cache: Path) -> Path:
    """Put the checkpoint of a named model, and the tower that it names, into a hub cache."""
    torch.manual_seed(1)
    fields = FIELDS[name]
    folder = repository(cache, hub_id)
    tower = _tower(fields["mm_vision_tower"], cache, folder)
    raw = {**LANGUAGE, **fields}
    if name == "libra-3b":
        raw |= _llama_3(folder)
    else:
        _sentencepiece(folder)
    (folder / "config.json").write_text(json.dumps(raw, indent=1))
    model = with_random_weights(parse_config(raw, name), tower, torch.device("cpu"), torch.float16)
    state = connector_state(model.connector.state_dict())
    state |= published_state(model.language_model, model.language_model.state_dict())
    if fields.get("unfreeze_mm_vision_tower"):
        encoder = model.vision_tower.encoder
        state |= published_state(encoder, encoder.state_dict(), TOWER)
    assert any(one.startswith(CONNECTOR) for one in state)
    _sharded(folder, state)
    return folder


def build_own_form(hub_id: str, cache: Path) -> Path:
    """Put MAIRA-2 in its own form into a hub cache: the kit's files, its weights in shards."""
    folder = repository(cache, hub_id)
    source = FORMS.parent / "maira2" / "checkpoint"
    for file in source.iterdir():
        if file.suffix != ".safetensors":
            shutil.copy(file, folder / file.name)
    _sharded(folder, load_file(source / "model.safetensors"))
    return folder


def repository(cache: Path, hub_id: str) -> Path:
    """An empty repository in a hub cache; its snapshot's folder."""
    root = cache / f"models--{hub_id.replace('/', '--')}"
    folder = root / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(folder.name)
    return folder


def _tower(name: str, cache: Path, folder: Path) -> Path:
    if name == "biomedclip_cxr_518":
        return _open_clip(folder)
    place = repository(cache, name)
    (place / "preprocessor_config.json").write_text(json.dumps(PIXELS))
    shape = {
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    if "clip" in name:
        # The whole CLIP, its text half as well, as its page has it.
        vision = {**shape, "hidden_size": 24, "intermediate_size": 48, "projection_dim": 8}
        text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
        text |= {"num_attention_heads": 1, "vocab_size": 50, "projection_dim": 8}
        clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
        clip.save_pretrained(place)
    else:
        Dinov2Model(Dinov2Config(**shape, hidden_size=16, mlp_ratio=2)).save_pretrained(place)
    return place


def _open_clip(folder: Path) -> Path:
    """BiomedCLIP-CXR: a DINOv2 of timm in a training checkpoint of open_clip, with a text half."""
    width, layers = 192, 12

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape) * 0.05

    trunk = {
        "cls_token": drawn(1, 1, width),
        "pos_embed": drawn(1, (SIDE // PATCH) ** 2 + 1, width),
        "patch_embed.proj.weight": drawn(width, 3, PATCH, PATCH),
        "patch_embed.proj.bias": drawn(width),
        "norm.weight": drawn(width),
        "norm.bias": drawn(width),
    }
    sizes = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for number in range(layers):
        for part, (out, into) in sizes.items():
            trunk[f"blocks.{number}.{part}.weight"] = drawn(out * width, into * width)
            trunk[f"blocks.{number}.{part}.bias"] = drawn(out * width)
        for part in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
            trunk[f"blocks.{number}.{part}"] = drawn(width)
        for part in ("ls1.gamma", "ls2.gamma"):
            trunk[f"blocks.{number}.{part}"] = drawn(width)
    state = {f"module.visual.trunk.{name}": one for name, one in trunk.items()}
    state |= {"module.visual.head.proj.weight": drawn(8, width), "module.logit_scale": drawn(1)[0]}
    state["module.text.proj.0.weight"] = drawn(8, 8)
    torch.save({"epoch": 1, "state_dict": state}, folder / "biomedclipcxr_518_checkpoint.pt")
    vision = {"timm_model_name": "vit_tiny_patch14_dinov2", "image_size": SIDE}
    place = folder / "biomedclipcxr_518.json"
    place.write_text(json.dumps({"embed_dim": 8, "vision_cfg": vision, "text_cfg": {}}))
    return place


def _sentencepiece(folder: Path) -> None:
    """A Llama's tokenizer as a slow one is saved: no `tokenizer.json`."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS * 3),
        model_writer=model,
        model_type="bpe",
        vocab_size=330,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        hard_vocab_limit=True,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"}
    decoder = {
        str(number): {"content": text, "special": True, "lstrip": False, "rstrip": False}
        for number, text in enumerate(("<unk>", "<s>", "</s>"))
    }
    settings = {
        **special,
        "added_tokens_decoder": decoder,
        "add_bos_token": True,
        "add_eos_token": False,
        "legacy": False,
        "tokenizer_class": "LlamaTokenizer",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(ends))


def _llama_3(folder: Path) -> dict[str, Any]:
    """Llama 3's tokenizer, in `tokenizer.json` alone, and its scaled rotary embedding."""
    source = FORMS / "libra-llama3" / "checkpoint"
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "generation_config.json",
    ):
        shutil.copy(source / name, folder / name)
    kept = ("vocab_size", "bos_token_id", "eos_token_id", "rope_scaling", "rope_theta")
    raw = json.loads((source / "config.json").read_text())
    return {name: raw[name] for name in kept} | {
        "tie_word_embeddings": True,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }


def _sharded(folder: Path, state: dict[str, Tensor]) -> None:
    """Weights in two shards with their index, as large models are saved."""
    names = sorted(state)
    index = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: state[name].contiguous().clone() for name in part}, folder / file)
        index |= dict.fromkeys(part, file)
    table = {"metadata": {"total_size": 0}, "weight_map": index}
    (folder / "model.safetensors.index.json").write_text(json.dumps(table))
