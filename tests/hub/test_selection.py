"""Which files of a repository are fetched."""

import pytest

from libra_bench.hub.lookup import Source
from libra_bench.hub.selection import wanted

MODEL = [
    *(".gitattributes", "README.md", "LICENSE", "config.json", "generation_config.json"),
    *("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
    *("model.safetensors.index.json", "onnx/model.onnx", "pytorch_model-00001-of-00001.bin"),
    *("pytorch_model.bin.index.json", "special_tokens_map.json", "tokenizer.model"),
    *("tokenizer_config.json", "trainer_state.json", "training_args.bin", "plot.png"),
]
KEPT = [
    *("config.json", "generation_config.json", "model-00001-of-00002.safetensors"),
    *("model-00002-of-00002.safetensors", "model.safetensors.index.json"),
    *("special_tokens_map.json", "tokenizer.model", "tokenizer_config.json"),
]


@pytest.mark.parametrize(
    ("source", "names", "kept"),
    [
        (Source("a/b"), MODEL, KEPT),
        (Source("a/b"), ["config.json", "pytorch_model.bin"], ["config.json", "pytorch_model.bin"]),
        # Weights of other names are other weights: open_clip's, a connector's, a tower's.
        (
            Source("a/b"),
            ["model.safetensors", "mm_projector.bin", "open_clip_pytorch_model.bin", "tower.pt"],
            ["model.safetensors", "mm_projector.bin", "open_clip_pytorch_model.bin", "tower.pt"],
        ),
        (
            Source("a/b"),
            ["adapter_model.bin", "adapter_model.safetensors", "non_lora_trainables.bin"],
            ["adapter_model.safetensors", "non_lora_trainables.bin"],
        ),
        (
            Source("a/b", weights=False),
            ["config.json", "model.safetensors", "vocab.txt", "model.safetensors.index.json"],
            ["config.json", "vocab.txt"],
        ),
        (Source("a/b", ("x/y.tar.gz",)), ["config.json", "x/y.tar.gz", "y.tar.gz"], ["x/y.tar.gz"]),
    ],
)
def test_only_what_is_read(source: Source, names: list[str], kept: list[str]) -> None:
    assert wanted(source, names) == kept
