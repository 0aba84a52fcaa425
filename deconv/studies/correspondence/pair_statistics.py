"""How sure a mean over pairs of images is: a bootstrap over images, a test by exchanging masks."""

from __future__ import annotations

import numpy as np


def bootstrap_means(distances: np.ndarray, pairs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean over pairs for each of B resamples of the images.

    distances: …×N×N. pairs: N×N bool, without the diagonal: an image drawn twice is not compared
    with itself. counts: B×N, how often each image was drawn. Returns …×B; NaN for a resample
    without a pair.
    """
    weights = counts.astype(float)
    total = np.einsum("bi,...ij,bj->...b", weights, distances * pairs, weights, optimize=True)
    number = np.einsum("bi,ij,bj->b", weights, pairs.astype(float), weights, optimize=True)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def resamples(images: int, count: int, random: np.random.Generator) -> np.ndarray:
    """`count`×`images`: how often each image is drawn when as many are drawn with replacement."""
    return random.multinomial(images, np.full(images, 1 / images), size=count)


def exchange_test(
    distances: np.ndarray,
    pairs: np.ndarray,
    part: int,
    others: list[int],
    count: int,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Is the part's Δ lower than that of the other masks by more than names by chance would give?

    distances: N×K×N×K between masks a of image i and b of image j. pairs: N×N bool. part: the
    mask under test, others: those it is compared with. Null: within each image the names of
    these masks are exchangeable; they are shuffled, image by image, `count` times. Returns the
    gap, the mean Δ of the others minus the part's, and p = (1 + shuffles with at least this
    gap) / (count + 1).
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
    """The mean Δ over columns 1… of `names` minus that of column 0.

    names: N×C, which mask of image i plays the part of column c.
    """
    first, second = np.nonzero(pairs)
    a, b = names[first], names[second]
    means = distances[first[:, None], a, second[:, None], b].mean(axis=0)
    return float(means[1:].mean() - means[0])
