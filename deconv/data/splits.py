"""Random splits of a data set into training and validation images, the same for one seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from deconv.errors import DeconvError


def per_class(targets: Sequence[int], count: Callable[[int], int], seed: int) -> list[int]:
    """Draw `count(class size)` indices of each class by (seed, class)."""
    labels = np.asarray(targets)
    drawn: list[int] = []
    for label in np.unique(labels):
        members = np.random.default_rng((seed, int(label))).permutation(
            np.flatnonzero(labels == label)
        )
        drawn += [int(i) for i in members[: count(len(members))]]
    return drawn


def train_and_test(
    targets: Sequence[int],
    classes: Sequence[str],
    train_per_class: int,
    test_per_class: int | None,
    seed: int,
) -> dict[str, list[int]]:
    """Draw a random split by (seed, class): "train" and "val" -> sorted positions in `targets`.

    For one seed a smaller training set is a subset of a larger one.

    Args:
        train_per_class: training images of each class.
        test_per_class: at most so many of the others for testing; None: all.

    Raises:
        DeconvError: if a class would have no test image left; names the classes.
    """
    if train_per_class < 1 or (test_per_class is not None and test_per_class < 1):
        raise DeconvError(
            f"a split needs at least one image per class, got {train_per_class=} and "
            f"{test_per_class=}"
        )
    sizes = np.bincount(np.asarray(targets), minlength=len(classes))
    few = [(c, n) for c, n in zip(classes, sizes.tolist(), strict=True) if n <= train_per_class]
    if few:
        named = ", ".join(f"{name} has {size}" for name, size in few[:5])
        raise DeconvError(
            f"{train_per_class} training images of each class leave none to test on in "
            f"{len(few)} of {len(classes)} classes ({named}): ask for fewer training images, or "
            "complete these classes"
        )
    most = len(targets) if test_per_class is None else train_per_class + test_per_class
    seen = np.zeros(len(classes), int)
    parts: dict[str, list[int]] = {"train": [], "val": []}
    for index in per_class(targets, lambda n: min(n, most), seed):
        parts["train" if seen[targets[index]] < train_per_class else "val"].append(index)
        seen[targets[index]] += 1
    return {name: sorted(chosen) for name, chosen in parts.items()}
