"""Similarity of two pictures: rank correlation of absolute values, correlation, SSIM.

As in Adebayo et al. 2018 ("Sanity checks for saliency maps"), whose rank correlation is of absolute
values; signs get their own measure here. All three are exactly 1 for equal pictures and invariant
to the scale of either.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from skimage.metrics import structural_similarity

from deconv.errors import DeconvError
from deconv.pixels import display_scale

NUMBERS = ("rank", "signed", "ssim")
"""Rank correlation of absolute values; Pearson correlation of values; structural similarity."""

WINDOW_PX = 7
"""Side of the windows of `ssim`, that of scikit-image; less for smaller pictures."""


def similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The three NUMBERS of two pictures 3×h×w of one size, float64 in [-1, 1]."""
    if one.shape != other.shape or one.ndim != 3 or one.size == 0:
        raise DeconvError(f"pictures of {one.shape} and {other.shape} cannot be compared")
    one, other = (np.asarray(picture, np.float64) for picture in (one, other))
    return np.array([rank_correlation(one, other), correlation(one, other), ssim(one, other)])


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of all values; 0 if a picture is constant."""
    a, b = (picture.ravel() - picture.mean() for picture in (one, other))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(np.clip((a @ b) / scale, -1, 1)) if scale > 0 else 0.0


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of the absolute values; ties share their mean rank."""
    return correlation(*(rankdata(np.abs(picture)) for picture in (one, other)))


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Mean structural similarity (Wang et al. 2004) over windows and channels, in [-1, 1].

    Pictures 3×h×w are scaled to ±1 at their `display_scale` and clipped, so the data range is 2.
    Windows are uniform squares inside the picture; variances are divided by n - 1.
    """
    one, other = (np.clip(picture / display_scale(picture), -1, 1) for picture in (one, other))
    side = min(WINDOW_PX, *one.shape[1:])
    side -= 1 - side % 2
    if side == 1:
        raise DeconvError(f"a picture of {one.shape[1]}×{one.shape[2]} px has no structure")
    found = structural_similarity(one, other, win_size=side, data_range=2, channel_axis=0)
    return float(found)
