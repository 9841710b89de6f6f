"""A study, ready for the model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Study:
    """One prompt with its images.

    Attributes:
        key: the example's id.
        prompt_ids: [L], with one -200 where the image goes; in MAIRA-2's own form with the image
            token once for each vector of each image.
        current: pixel values [3, height, width].
        prior: the same of the previous image; None: the current image stands in for it.
        lateral: the same of the current lateral image, which MAIRA-2's own form looks at alone.
    """

    key: str
    prompt_ids: Tensor
    current: Tensor
    prior: Tensor | None
    lateral: Tensor | None = None
