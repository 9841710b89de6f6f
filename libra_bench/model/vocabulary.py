"""A language model's rows, one for each token that its tokenizer can give."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from libra_bench.core.errors import InputError
from libra_bench.model.configuration import LibraConfig
from libra_bench.model.libra import LibraModel
from libra_bench.model.tokenizer import Tokenizer

IMAGE_PATCH, IMAGE_START, IMAGE_END = "<im_patch>", "<im_start>", "<im_end>"


def add_image_tokens(tokenizer: Tokenizer, config: LibraConfig, *, patch: bool = True) -> int:
    """Add the tokens that the published code adds on loading; how many were not there.

    Args:
        patch: whether to add `<im_patch>`, which stands in no text, as well.
    """
    before = len(tokenizer)
    if config.use_im_patch_token and patch:
        tokenizer.add([IMAGE_PATCH])
    if config.use_im_start_end:
        tokenizer.add([IMAGE_START, IMAGE_END])
    return len(tokenizer) - before


def fit_vocabulary(
    model: LibraModel,
    tokenizer: Tokenizer,
    made_up: int,
    where: Path,
    *,
    cut: bool = True,
    grow: bool = True,
) -> None:
    """Give the language model as many rows as its tokenizer has tokens, in place.

    The published code does so after loading. Rows beyond the tokenizer, which pad a vocabulary to a
    round number, would take part in every softmax and could be generated. Rows for the tokens that
    are added on loading are the mean of the others; the published code draws them from a normal
    distribution of variance 1e-9 around it.

    Args:
        made_up: tokens that were added on loading.
        where: the checkpoint, for messages.
        cut: whether rows are taken away. The published trainer does not.
        grow: whether rows are added.

    Raises:
        InputError: the tokenizer has more tokens than the vocabulary has rows.
    """
    language_model = model.language_model
    table = language_model.get_input_embeddings()
    rows, tokens = int(table.weight.shape[0]), len(tokenizer)
    if tokens - made_up > rows:
        raise InputError(
            f"{where}: its tokenizer has {tokens - made_up} tokens, its vocabulary {rows} rows: a "
            "token without a row cannot be read"
        )
    if tokens == rows or (tokens < rows and not cut) or (tokens > rows and not grow):
        return
    head = language_model.get_output_embeddings()
    tied = head.weight is table.weight
    table.weight = _fitted(table.weight, tokens)
    table.num_embeddings = tokens
    if table.padding_idx is not None and table.padding_idx >= tokens:
        table.padding_idx = None
    head.weight = table.weight if tied else _fitted(head.weight, tokens)
    head.out_features = tokens
    if head.bias is not None:
        head.bias = _fitted(head.bias, tokens)
    for one in (language_model.config, language_model, model.config.language):
        one.vocab_size = tokens


def _fitted(parameter: nn.Parameter, count: int) -> nn.Parameter:
    rows = parameter.detach()
    if count <= len(rows):
        return nn.Parameter(rows[:count].clone(), parameter.requires_grad)
    mean = rows.float().mean(dim=0, keepdim=True).to(rows.dtype)
    more = mean.expand(count - len(rows), *rows.shape[1:])
    return nn.Parameter(torch.cat([rows, more]), parameter.requires_grad)
