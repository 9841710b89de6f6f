"""Teaching the small tower to see, as RAD-DINO was taught before Libra began.

No pre-trained tower is as small as `libra-tiny`'s. It learns the latent grades of the synthetic
cohort's training patients from single images; what became of a finding it is never told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from libra_bench.data.images import load_image, resolve_image
from libra_bench.data.synthetic.course import Findings
from libra_bench.model.loading import LoadedModel

NAMES = tuple(field.name for field in fields(Findings))
GRADES = 4


class _Reader(nn.Module):
    """Grades [n, findings, 4] as logits from the mean over patches of the tower's last states."""

    def __init__(self, tower: nn.Module, width: int) -> None:
        super().__init__()
        self.tower = tower
        self.heads = nn.Linear(width, len(NAMES) * GRADES)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.tower(pixels)[:, -1].mean(dim=1)
        return self.heads(functional.layer_norm(features, features.shape[-1:])).unflatten(
            1, (len(NAMES), GRADES)
        )


def pixels_of(loaded: LoadedModel, root: Path, names: Sequence[str]) -> Tensor:
    """Images [n, 3, height, width] as the model sees them at inference, in half precision."""
    rows = [
        loaded.processor(load_image(resolve_image(root, name)), "mean").half() for name in names
    ]
    return torch.stack(rows)


def teach_tower(
    loaded: LoadedModel,
    pixels: Tensor,
    truths: Sequence[Findings],
    *,
    epochs: int,
    batch: int = 64,
    rate: float = 2e-3,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Train the tower of `loaded` in place on images and their latent grades.

    Args:
        pixels: [n, 3, height, width].
        truths: [n] the findings in each image.
    """
    torch.manual_seed(seed)
    model = loaded.model
    reader = _Reader(model.vision_tower, model.vision_tower.width).train()
    grades = torch.tensor([[getattr(one, name) for name in NAMES] for one in truths])
    optimizer = torch.optim.AdamW(reader.parameters(), lr=rate, weight_decay=0.01)
    steps = epochs * (len(pixels) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.1
    )
    for epoch in range(epochs):
        total, right = 0.0, 0.0
        order = torch.randperm(len(pixels))
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            logits = reader(pixels[chosen].float())
            loss = functional.cross_entropy(logits.flatten(0, 1), grades[chosen].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
            right += float((logits.argmax(-1) == grades[chosen]).float().mean())
        count = len(order) // batch
        say(f"tower, epoch {epoch + 1}: loss {total / count:.4f}, grades right {right / count:.3f}")
    reader.eval()
