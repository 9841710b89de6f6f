"""Tiny random encoders in the layout of published ones, for tests of the neural metrics."""

from pathlib import Path
from typing import Any

WORDS = """
[PAD] [UNK] [CLS] [SEP] [MASK] the a is no not there heart size normal lungs are clear of pleural
effusion pneumothorax edema small left right mild stable new opacity lobe lower in and or with
unchanged seen . , : ; - / ##s ##ed ##al
"""
LETTERS = list("abcdefghijklmnopqrstuvwxyz0123456789")


def write_tokenizer(folder: Path) -> None:
    from transformers import BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    words = dict.fromkeys([*WORDS.split(), *LETTERS, *(f"##{letter}" for letter in LETTERS)])
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n")
    tokenizer = BertTokenizer(vocab=str(vocabulary), do_lower_case=True, model_max_length=512)
    tokenizer.save_pretrained(folder)


def config(**settings: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=150,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
        initializer_range=0.4,
        **settings,
    )


def write_encoder(folder: Path, kind: str = "BertModel", seed: int = 0, **settings: Any) -> Path:
    """A random model with its tokenizer in `folder`."""
    import torch
    import transformers

    write_tokenizer(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = getattr(transformers, kind)(config(**settings))
    model.save_pretrained(folder)
    return folder
