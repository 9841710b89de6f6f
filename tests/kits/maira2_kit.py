"""MAIRA-2's own form in small, with the answers of transformers 4.51.3, into `tests/kits/maira2`.

To be run with that release (`python tests/kits/maira2_kit.py [PROCESSING]`), not by the tests. The
model is LLaVA's class of transformers with the two parts that `microsoft/maira-2` changes: linear
layers for a projector, and the backbone's last normalised map for features. PROCESSING is the
page's own `processing_maira2.py`, where it is at hand; without it prompts are written out here.
"""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from PIL import Image
from torch import nn
from transformers import (
    AddedToken,
    AutoBackbone,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoTokenizer,
    Dinov2Config,
    LlamaConfig,
    LlamaTokenizer,
    LlamaTokenizerFast,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaPreTrainedModel,
)

HERE = Path(__file__).resolve().parent
FOLDER, IMAGES = HERE / "maira2", HERE / "forms" / "images"
SIDE, PATCH = 56, 14
TEMPLATE = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}"
    "{% endif %}You are an expert radiology assistant tasked with interpreting a chest X-ray "
    'study.  {% for message in messages %}{% if message["role"] == "user" %}USER:  {% else %}'
    'ASSISTANT: {% endif %}{% for item in message["content"] %}{% if item["type"] == "text" %}'
    '{{ item["text"] }}{% elif item["type"] == "image" %}<image>{% endif %}{% endfor %}'
    '{% if message["role"] == "user" %}  {% else %}{{eos_token}}{% endif %}{% endfor %}'
    "{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)
ADDED = ["<obj>", "</obj>", "<x0>", "<y0>", "<box>", "</box>"]
ADDED += ["<image>", "<prev_im>", "<lat_image>"]
TEXTS = [
    "Provide a description of the findings in the radiology study in comparison to the prior.",
    "Given the current frontal image only and the current lateral image. INDICATION: Dyspnea.",
    "You are an expert radiology assistant tasked with interpreting a chest X-ray study. N/A",
    "The heart is normal in size. The lungs are clear. TECHNIQUE: PA and lateral. COMPARISON:",
]
STUDIES: list[dict[str, Any]] = [
    {"id": "alone", "image": ["b_current.png"]},
    {
        "id": "prior",
        "image": ["a_current.png", "a_prior.png"],
        "indication": "Dyspnea.",
        "prior_report": "Lungs are clear.",
    },
    {
        "id": "lateral",
        "image": ["c_current.png"],
        "lateral": "b_prior.png",
        "technique": "PA and lateral views of the chest.",
        "comparison": "None.",
    },
    {
        "id": "all",
        "image": ["a_current.png", "b_prior.png"],
        "lateral": "c_current.png",
        "indication": "Cough \u2014 fever, caf\u00e9.",
        "technique": "PA and lateral.",
        "comparison": "Chest radiograph of 2019.",
    },
]
DECODINGS = {
    "greedy": {"num_beams": 1, "max_new_tokens": 24},
    "beam3": {"num_beams": 3, "no_repeat_ngram_size": 3, "max_new_tokens": 20},
    "beam10": {
        "num_beams": 10,
        "no_repeat_ngram_size": 3,
        "length_penalty": 2.0,
        "max_new_tokens": 24,
    },
    "ngram2": {"num_beams": 1, "no_repeat_ngram_size": 2, "max_new_tokens": 24},
    "long": {"num_beams": 2, "min_new_tokens": 12, "max_new_tokens": 16},
}


class Maira2Config(LlavaConfig):
    model_type = "maira2"

    def __init__(self, projector_n_layers: int = 4, **rest: Any) -> None:
        super().__init__(**rest)
        self.hidden_size = self.text_config.hidden_size
        self.projector_n_layers = projector_n_layers


class Projector(nn.Module):
    def __init__(self, config: Maira2Config) -> None:
        super().__init__()
        width, hidden = config.vision_config.hidden_size, config.text_config.hidden_size
        more = (config.projector_n_layers - 1) * [hidden]
        layers: list[nn.Module] = [nn.Linear(width, hidden)]
        for one in more:
            layers += [nn.GELU(), nn.Linear(one, one)]
        self.layers = nn.Sequential(*layers)


class Maira2(LlavaForConditionalGeneration):
    config_class = Maira2Config

    def __init__(self, config: Maira2Config) -> None:
        super(LlavaPreTrainedModel, self).__init__(config)
        self.vision_tower = AutoBackbone.from_config(config.vision_config)
        self.multi_modal_projector = Projector(config)
        self.vocab_size = config.text_config.vocab_size
        self.language_model = AutoModelForCausalLM.from_config(config.text_config)
        self.pad_token_id = config.pad_token_id
        self.post_init()

    def get_image_features(self, pixel_values: Any, **rest: Any) -> Any:
        maps = self.vision_tower(pixel_values, output_hidden_states=True).feature_maps[-1]
        return self.multi_modal_projector.layers(maps[:, 1:])

    @staticmethod
    def _expand_inputs_for_generation(expand_size: int = 1, **given: Any) -> Any:
        """transformers repeats each image in its place, so that the first beam, from which all
        others grow, sees the first image of a study as often as it has images. Not so here."""
        pixels = given.pop("pixel_values")
        ids, rest = LlavaForConditionalGeneration._expand_inputs_for_generation(
            expand_size=expand_size, **given
        )
        return ids, {**rest, "pixel_values": pixels.repeat(expand_size, 1, 1, 1)}


def tokenizer(folder: Path) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 3),
        model_writer=model,
        model_type="bpe",
        vocab_size=340,
        byte_fallback=True,
        character_coverage=0.99,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    slow = LlamaTokenizer(
        str(folder / "tokenizer.model"), legacy=True, pad_token="<unk>", chat_template=TEMPLATE
    )
    slow.add_tokens([AddedToken(one, special=True, normalized=False) for one in ADDED], True)
    slow.padding_side = "left"
    slow.save_pretrained(folder)
    LlamaTokenizerFast.from_pretrained(folder, from_slow=True).save_pretrained(folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))


def checkpoint(folder: Path) -> None:
    folder.mkdir(parents=True)
    tokenizer(folder)
    names = AutoTokenizer.from_pretrained(folder)
    text = LlamaConfig(
        vocab_size=len(names) + 3,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        rope_scaling={"factor": 1.5, "type": "linear"},
        rms_norm_eps=1e-5,
        pad_token_id=0,
    )
    vision = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        mlp_ratio=2,
        image_size=SIDE,
        patch_size=PATCH,
        reshape_hidden_states=False,
        apply_layernorm=True,
        out_features=["stage3"],
    )
    config = Maira2Config(
        text_config=text,
        vision_config=vision,
        image_token_index=names.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // PATCH) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        pad_token_id=0,
    )
    torch.manual_seed(14)
    model = Maira2(config)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if one.dim() > 1:
                one.normal_(0, 0.6 if "lm_head" in name or "embed_tokens" in name else 0.2)
            else:
                one.add_(torch.randn_like(one) * 0.1)
    model.half().save_pretrained(folder)
    pixels = {
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5307] * 3,
        "image_processor_type": "BitImageProcessor",
        "image_std": [0.2583] * 3,
        "processor_class": "Maira2Processor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": SIDE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels, indent=1))


def prepared(folder: Path, processing: Path | None) -> Any:
    """A function from a study to its ids and pixel values."""
    names = AutoTokenizer.from_pretrained(folder)
    images = AutoImageProcessor.from_pretrained(folder, use_fast=False)
    assert processing is not None, "the page's processing_maira2.py is needed for new answers"
    spec = importlib.util.spec_from_file_location("processing_maira2", processing)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    processor = module.Maira2Processor(
        image_processor=images,
        tokenizer=names,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )

    def make(study: dict[str, Any]) -> Any:
        shown = [Image.open(IMAGES / one).convert("RGB") for one in study["image"]]
        lateral = study.get("lateral")
        return processor.format_and_preprocess_reporting_input(
            current_frontal=shown[0],
            current_lateral=None if lateral is None else Image.open(IMAGES / lateral),
            prior_frontal=shown[1] if len(shown) > 1 else None,
            indication=study.get("indication"),
            technique=study.get("technique"),
            comparison=study.get("comparison"),
            prior_report=study.get("prior_report"),
            return_tensors="pt",
            get_grounding=False,
        )

    return make


def main() -> None:
    processing = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    shutil.rmtree(FOLDER, ignore_errors=True)
    checkpoint(FOLDER / "checkpoint")
    model = Maira2.from_pretrained(FOLDER / "checkpoint", torch_dtype=torch.float32).eval()
    names = AutoTokenizer.from_pretrained(FOLDER / "checkpoint")
    make = prepared(FOLDER / "checkpoint", processing)
    cases, last = [], {}
    for study in STUDIES:
        given = make(study)
        with torch.inference_mode():
            last[study["id"]] = model(**given).logits[0, -1].numpy()
            answers = {}
            for name, settings in DECODINGS.items():
                ids = model.generate(**given, do_sample=False, use_cache=True, **settings)
                ids = ids[0, given["input_ids"].shape[1] :]
                text = names.decode(ids, skip_special_tokens=True).strip()
                answers[name] = {"params": settings, "token_ids": ids.tolist(), "text": text}
        cases.append({**study, "input_ids": given["input_ids"][0].tolist(), "answers": answers})
    (FOLDER / "expected.json").write_text(json.dumps({"cases": cases}))
    np.savez_compressed(FOLDER / "expected.npz", **last)


if __name__ == "__main__":
    main()
