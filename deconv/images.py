"""Reading image files, the paper's 256-pixel square, and validation of batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from deconv.errors import DeconvError, Interrupted, UnreadableImage


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turn whatever an image's reader raises into an UnreadableImage that names the file."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:  # damaged files make Pillow's readers raise anything
        reason = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "it is empty or of no known format"  # Pillow's own may name a buffer
        raise UnreadableImage(
            f"cannot read the image {path}: {reason}. Replace or remove it."
        ) from error


def read_rgb(path: str | Path) -> Image.Image:
    """Read an image file as 8-bit RGB, see `to_rgb`.

    Raises:
        UnreadableImage: if the file is missing, truncated, no image, or of an unknown value range.
    """
    with naming(path), Image.open(path) as image:
        return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any PIL image to 8-bit RGB: EXIF rotation applied, grey repeated, alpha on white.

    16-bit images span 0…65535. 32-bit images do not define white: it is the first of 1 (floats
    only), 255 and 65535 that no value exceeds.

    Raises:
        DeconvError: for values below 0, above 65535 or not finite.
    """
    image.load()
    with contextlib.suppress(Exception):  # a damaged EXIF block can raise anything
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if not 0 <= low <= high <= 65535:
        raise DeconvError(
            f"its values range from {low} to {high}, so that black and white are not known: scale "
            "them to 0…255 and save it with 8 bits"
        )
    white = 65535
    if image.mode in ("I", "F") and high <= 255:
        white = 1 if image.mode == "F" and high <= 1 else 255
    return Image.fromarray((values * (255 / white)).round().astype(np.uint8))


def resized_size(width: int, height: int, shorter_px: int) -> tuple[int, int]:
    """Compute (width, height) of an image after resizing its shorter side to `shorter_px`."""
    scale = shorter_px / min(width, height)
    return max(shorter_px, round(width * scale)), max(shorter_px, round(height * scale))


def resized(image: Image.Image, shorter_px: int) -> Image.Image:
    """Resize an image's shorter side to `shorter_px`, keeping the aspect ratio.

    Bilinear with antialiasing; the paper names no interpolation.
    """
    size = resized_size(*image.size, shorter_px)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


PANORAMA = 16
"""Aspect ratio beyond which only the centre of an image is resized."""


def square(image: Image.Image, side_px: int) -> torch.Tensor:
    """Resize the shorter side to `side_px` and keep the centre square (§3: 256 px).

    Returns 3×side×side uint8 in 0…255, RGB.
    """
    width, height = resized_size(*image.size, side_px)
    left, top = (width - side_px) // 2, (height - side_px) // 2
    box = (left, top, left + side_px, top + side_px)
    if max(image.size) > PANORAMA * min(image.size):
        across, down = image.width / width, image.height / height
        part = (box[0] * across, box[1] * down, box[2] * across, box[3] * down)
        image = image.resize((side_px, side_px), Image.Resampling.BILINEAR, part)
    else:  # rounds differently in one value of a thousand, and published results depend on it
        image = resized(image, side_px).crop(box)
    return torch.from_numpy(np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1)))


def _shape(images: torch.Tensor) -> str:
    return "×".join(map(str, images.shape))


def check_batch(images: object, name: str) -> None:
    """Raise DeconvError unless `images` is a float N×3×H×W tensor, N ≥ 1; `name` a network's."""
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
    if images.dim() != 4:
        raise DeconvError(
            f"{name} takes N×3×H×W, got {_shape(images)}; add a batch axis to one image"
        )
    if images.shape[1] != 3:
        change = "repeat a grey channel, drop an alpha channel"
        if images.shape[3] in (1, 3, 4):
            change = "put the channels first: permute(0, 3, 1, 2)"
        raise DeconvError(
            f"{name} takes 3 channels (RGB), got {images.shape[1]} in {_shape(images)}; {change}"
        )
    if images.shape[0] == 0:
        raise DeconvError(f"{name} got an empty batch ({_shape(images)}); pass at least one image")
