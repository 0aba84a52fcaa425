"""How alike two pictures are: ranks of absolute values, signed values, structure.

The three numbers that Adebayo et al. 2018 ("Sanity checks for saliency maps") compare pictures
by; where they use absolute values alone for the rank correlation, signs have a number of their
own here. All three are 1 exactly for equal pictures and do not change with the scale of one.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from skimage.metrics import structural_similarity

from deconv.errors import DeconvError
from deconv.pixels import display_scale

NUMBERS = ("rank", "signed", "ssim")
"""Where the picture has strong values, whatever their sign; the values with their signs;
structure in small windows."""

WINDOW_PX = 7
"""Side of the windows of `ssim`, that of scikit-image; less for smaller pictures."""


def similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The three NUMBERS of two pictures 3×h×w, float64 in [-1, 1].

    Raises DeconvError for pictures of different or no size.
    """
    if one.shape != other.shape or one.ndim != 3 or one.size == 0:
        raise DeconvError(f"pictures of {one.shape} and {other.shape} cannot be compared")
    one, other = (np.asarray(picture, np.float64) for picture in (one, other))
    return np.array([rank_correlation(one, other), correlation(one, other), ssim(one, other)])


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's correlation of all values; 0 where a picture is constant: it shares nothing."""
    a, b = (picture.ravel() - picture.mean() for picture in (one, other))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(np.clip((a @ b) / scale, -1, 1)) if scale > 0 else 0.0


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of the absolute values; ties share their mean rank."""
    return correlation(*(rankdata(np.abs(picture)) for picture in (one, other)))


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Mean structural similarity (Wang et al. 2004) over windows and colours, in [-1, 1].

    one, other: 3×h×w. Each picture is brought to ± 1 at its own `display_scale` and clipped, so the
    range of values is 2. Windows are squares of even weight that lie inside the picture whole;
    variances are those of a sample, divided by n - 1.
    """
    one, other = (np.clip(picture / display_scale(picture), -1, 1) for picture in (one, other))
    side = min(WINDOW_PX, *one.shape[1:])
    side -= 1 - side % 2
    if side == 1:
        raise DeconvError(f"a picture of {one.shape[1]}×{one.shape[2]} px has no structure")
    found = structural_similarity(one, other, win_size=side, data_range=2, channel_axis=0)
    return float(found)
