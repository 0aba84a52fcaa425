"""Image files and batches: reading, the paper's 256-pixel square, and checks of what goes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from deconv.errors import DeconvError


def read_rgb(path: str | Path) -> Image.Image:
    """Read one image file whole, as 8-bit RGB (grey is repeated, transparency laid on white).

    Raises DeconvError naming the file if it is missing, truncated or no image.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return to_rgb(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DeconvError(
            f"cannot read the image {path}: {error}. Replace the file or remove it."
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB from any PIL image: grey repeated, 16-bit scaled to 8, alpha laid on white."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def resized_size(width: int, height: int, shorter_px: int) -> tuple[int, int]:
    """(width, height) of an image after its shorter side is brought to `shorter_px`."""
    scale = shorter_px / min(width, height)
    return max(shorter_px, round(width * scale)), max(shorter_px, round(height * scale))


def resized(image: Image.Image, shorter_px: int) -> Image.Image:
    """The image with its shorter side at `shorter_px`, its aspect ratio kept.

    Interpolation is bilinear with antialiasing; the paper does not name one.
    """
    size = resized_size(*image.size, shorter_px)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def square(image: Image.Image, side_px: int) -> torch.Tensor:
    """Resize the shorter side to `side_px` and keep the centre square (§3: 256 px).

    Returns 3×side×side uint8 in 0…255, RGB.
    """
    image = resized(image, side_px)
    left, top = (image.width - side_px) // 2, (image.height - side_px) // 2
    pixels = np.asarray(image.crop((left, top, left + side_px, top + side_px)))
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def check_batch(images: object, name: str) -> None:
    """Raise DeconvError unless `images` is a float N×3×H×W tensor with N ≥ 1.

    name: the network's, for the message.
    """
    if not isinstance(images, torch.Tensor):
        raise DeconvError(
            f"{name} takes a float tensor N×3×H×W, not {type(images).__name__}; "
            "read a file with deconv.images and preprocess it first"
        )
    if not images.is_floating_point():
        raise DeconvError(
            f"{name} takes preprocessed float images (RGB, mean subtracted), not "
            f"{images.dtype}: convert and subtract the training mean first"
        )
    shape = "×".join(map(str, images.shape))
    if images.dim() != 4:
        raise DeconvError(f"{name} takes N×3×H×W, got {shape}; add a batch axis to one image")
    if images.shape[1] != 3:
        raise DeconvError(
            f"{name} takes 3 channels (RGB), got {images.shape[1]} in {shape}; "
            "repeat a grey channel, drop an alpha channel"
        )
    if images.shape[0] == 0:
        raise DeconvError(f"{name} got an empty batch ({shape}); pass at least one image")
