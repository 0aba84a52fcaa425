"""Preprocessing of images for a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from deconv.errors import DeconvError
from deconv.images import square, to_rgb


def three(values: Sequence[float], what: str) -> tuple[float, float, float]:
    """Check a mean or std in 0…255: red, green and blue.

    Args:
        what: "mean" or "std", for the message; a std has to be positive.

    Raises:
        DeconvError: for another count, a std of 0, and values that look like 0…1.
    """
    numbers = [float(v) for v in values]
    if len(numbers) != 3 or (what == "std" and min(numbers) <= 0):
        raise DeconvError(f"{what} takes three {'positive ' * (what == 'std')}numbers: {values}")
    if 0 < max(numbers) < 1 or (what == "mean" and max(numbers) == 1):
        raise DeconvError(f"{what}={values} looks like 0…1: give it in 0…255")
    return numbers[0], numbers[1], numbers[2]


def stored_side(input_px: int) -> int:
    """Return the side of the square that a crop of `input_px` is taken from: × 256/224 (§3)."""
    return -(-input_px * 256 // 224)


def colour(mean: Sequence[float]) -> torch.Tensor:
    """Return a mean colour as 3×1×1, on the CPU even under another default device."""
    return torch.tensor(mean, device="cpu").view(3, 1, 1)


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Resize the shorter side to stored_px, subtract the mean, crop the centre of input_px.

    mean: in 0…255, 3×1×1, or 3×S×S with S = stored_px, the per-pixel training mean (§3). A division
    by a std is part of the network.
    """

    mean: torch.Tensor
    input_px: int
    stored_px: int

    def __call__(self, image: Image.Image | torch.Tensor) -> torch.Tensor:
        """Convert a PIL image or uint8 3×H×W to a network's input 3×input_px×input_px."""
        if isinstance(image, torch.Tensor):
            if image.dtype != torch.uint8 or image.dim() != 3 or len(image) not in (1, 3):
                shape = "×".join(map(str, image.shape))
                raise DeconvError(
                    f"preprocess takes a PIL image or uint8 3×H×W, not {image.dtype} {shape}"
                )
            array = image.permute(1, 2, 0).numpy(force=True)
            return self(Image.fromarray(array if len(image) == 3 else array[..., 0]))
        if not isinstance(image, Image.Image):
            raise DeconvError(
                f"preprocess takes a PIL image or uint8 3×H×W, not {type(image).__name__}: open "
                "a file with deconv.images.read_rgb"
            )
        pixels = square(to_rgb(image), self.stored_px).float() - self.mean
        edge = (self.stored_px - self.input_px) // 2
        return pixels[:, edge : edge + self.input_px, edge : edge + self.input_px].contiguous()


class Prepared:
    """A network that may know its preprocessing and its class names, in the order of the logits."""

    name: str
    preprocessing: Preprocessing | None = None
    class_names: tuple[str, ...] | None = None

    def preprocess(self, image: Image.Image | torch.Tensor) -> torch.Tensor:
        """Convert an image to the network's input, as torchvision's `weights.transforms()` does.

        Args:
            image: a PIL image, or uint8 3×H×W in RGB.

        Returns:
            3×input_px×input_px float32 on the CPU, in about ±128.

        Raises:
            DeconvError: if the mean is unknown, and for anything but an image.
        """
        if self.preprocessing is None:
            raise DeconvError(
                f"the mean of {self.name} is not known: build it with mean=(red, green, blue) in "
                "0…255, or from a snapshot"
            )
        return self.preprocessing(image)
