"""Training without the images that cannot be read, where a data set asks for it."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset

from deconv.errors import UnreadableImage

ERROR, SKIP = "error", "skip"
BAD_IMAGES = (ERROR, SKIP)
SKIPPED = -100
"""Label of an image that is left out."""


def read_or_skip(data: Any, index: int) -> tuple[torch.Tensor, int]:
    """Return item `index` of uint8 squares; if it cannot be read, raise, or black and SKIPPED.

    Which of the two is for the attribute `bad_images` of `data`, one of BAD_IMAGES.
    """
    try:
        return data[index]
    except UnreadableImage:
        if getattr(data, "bad_images", ERROR) != SKIP:
            raise
        return torch.zeros(3, data.side_px, data.side_px, dtype=torch.uint8), SKIPPED


class ReadOrSkip(Dataset):
    """The items of `data`, each by `read_or_skip`."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return read_or_skip(self.data, index)
