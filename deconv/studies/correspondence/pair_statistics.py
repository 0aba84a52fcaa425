"""Inference for means over pairs of images: bootstrap over images, permutation test of masks."""

from __future__ import annotations

import numpy as np


def bootstrap_means(distances: np.ndarray, pairs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean over pairs for each of B resamples of the images.

    Args:
        distances: …×N×N.
        pairs: N×N bool, False on the diagonal: an image drawn twice is not compared with itself.
        counts: B×N, how often each image was drawn.

    Returns:
        …×B; NaN for a resample without a pair.
    """
    weights = counts.astype(float)
    total = np.einsum("bi,...ij,bj->...b", weights, distances * pairs, weights, optimize=True)
    number = np.einsum("bi,ij,bj->b", weights, pairs.astype(float), weights, optimize=True)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def resamples(images: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Resample images with replacement: `count`×`images`, how often each was drawn."""
    return random.multinomial(images, np.full(images, 1 / images), size=count)


def exchange_test(
    distances: np.ndarray,
    pairs: np.ndarray,
    part: int,
    others: list[int],
    count: int,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Test whether a part's Δ lies below that of other masks, by permutation.

    Null hypothesis: within each image the names of these masks are exchangeable.

    Args:
        distances: N×K×N×K between mask a on image i and mask b on image j.
        pairs: N×N bool.
        part, others: the mask under test, and those it is compared with.
        count: permutations, drawn image by image.

    Returns:
        The gap, mean Δ of the others minus the part's, and
        p = (1 + permutations with at least this gap) / (count + 1).
    """
    names = np.array([part, *others])
    images = len(distances)
    seen = gap(distances, pairs, np.tile(names, (images, 1)))
    shuffled = (
        gap(distances, pairs, random.permuted(np.tile(names, (images, 1)), axis=1))
        for _ in range(count)
    )
    # Equal up to rounding counts as at least as large.
    beyond = sum(value >= seen - 1e-12 for value in shuffled)
    return seen, (1 + beyond) / (count + 1)


def gap(distances: np.ndarray, pairs: np.ndarray, names: np.ndarray) -> float:
    """The mean Δ of columns 1… of `names` minus that of column 0.

    names: N×C, which mask of image i has the role of column c.
    """
    first, second = np.nonzero(pairs)
    a, b = names[first], names[second]
    means = distances[first[:, None], a, second[:, None], b].mean(axis=0)
    return float(means[1:].mean() - means[0])
