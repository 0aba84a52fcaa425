"""One page about a training run: learning curves, filters, rescaled filters, dead maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure

from deconv.errors import unknown
from deconv.figures.drawing import FAINT, INK, MARGIN, block, captioned, grey_centred, picture, text
from deconv.figures.layer_rows import layer_rows, rows_height
from deconv.figures.learning_curves import Rows, learning_curves
from deconv.figures.style import page

SCALES = ("common", "each")
TITLE, HEAD, UPPER, GAP = 0.74, 0.4, 3.05, 0.45
"""Inches: title of the page, titles of the upper half, the upper half, space below it."""
ENLARGED, TILE_GAP = 8, 5
"""Drawn pixels a filter's pixel, and between filters."""


class Watched(Protocol):
    """What the page needs of a `deconv.training.monitoring.Watch`.

    filters: C×3×k×k float. filter_rms: convolutional layer -> RMS of each filter. strongest:
    layer -> largest activation of each map over `images` images.
    """

    @property
    def filters(self) -> np.ndarray: ...
    @property
    def filter_rms(self) -> Mapping[str, np.ndarray]: ...
    @property
    def strongest(self) -> Mapping[str, np.ndarray]: ...
    @property
    def images(self) -> int: ...


@page(least_in=7.5)
def training_page(
    rows: Rows,
    watch: Watched,
    title: str,
    note: str = "",
    *,
    snapshot_epochs: Sequence[int] = (),
    updates_per_epoch: int | None = None,
    max_rms: float | None = 0.1,
    scale: str = "common",
    width_in: float = 8.0,
) -> Figure:
    """Draw the state of a training from its log and its monitored network.

    Args:
        rows: the log, one row per epoch: epoch, lr, train_loss, train_error (percent),
            renormalised_<layer>, and in validated epochs val_top1_error, val_top5_error (percent)
            and val_loss; numbers, or text as `csv.DictReader` reads it.
        watch: arrays of the network.
        title, note: first and second line of the page.
        snapshot_epochs: marked on the curves unless later than the last row.
        updates_per_epoch: if given, rescaled filters are drawn per update instead of per epoch.
        max_rms: the limit of the renormalisation (§3 of the paper: 0.1); None for no limit.
        scale: "common" shows dominating filters (Figure 6a); "each" scales every filter by itself.

    Raises:
        DeconvError: for another scale.
    """
    if scale not in SCALES:
        raise unknown("scale of filters", scale, SCALES)
    lower = TITLE + HEAD + UPPER + GAP
    end = lower + rows_height(len(watch.strongest)) + 0.12
    figure = captioned(width_in, end, _caption(watch.images, scale, max_rms))
    text(figure, MARGIN, 0.2, title, 12, INK, weight="bold")
    text(figure, MARGIN, 0.42, note, 6.6, FAINT)
    text(figure, MARGIN, TITLE, "Learning curves", 9, INK, weight="bold")
    width = 0.6 * (width_in - 2 * MARGIN)
    place = (MARGIN, TITLE + HEAD, width - 0.2, UPPER)
    learning_curves(figure, rows, place, snapshot_epochs)
    _filters(figure, watch, MARGIN + width, width_in - 2 * MARGIN - width, scale)
    layer_rows(figure, rows, watch.filter_rms, watch.strongest, lower, max_rms, updates_per_epoch)
    return figure


def _filters(figure: Figure, watch: Watched, left: float, width: float, scale: str) -> None:
    """Draw the filters in the grid that makes them largest; left and width in inches."""
    top, layer = TITLE, next(iter(watch.filter_rms), "")
    text(figure, left, top, f"Filters of {layer or 'layer 1'}", 9, INK, weight="bold")
    if not len(watch.filters):
        text(figure, left, top + 0.18, "the network has no convolutional layer", 5.6, FAINT)
        return
    count, _, kernel, _ = watch.filters.shape
    largest = np.abs(watch.filters).max()
    scales = f"all on one scale, ±{largest:.2g}" if scale == "common" else "each on its own scale"
    words = f"{count} of {kernel}×{kernel} px, grey is zero, {scales}"
    text(figure, left, top + 0.18, words, 5.6, FAINT)
    columns = max(range(1, count + 1), key=lambda n: min(width / n, UPPER / -(-count // n)))
    pixels = block(filter_tiles(watch.filters, scale), columns, TILE_GAP)
    inches = min(width / pixels.shape[1], UPPER / pixels.shape[0])
    height, width = (side * inches for side in pixels.shape[:2])
    picture(figure, pixels, left, top + HEAD, width, height)


def filter_tiles(filters: np.ndarray, scale: str) -> list[np.ndarray]:
    """Render filters C×3×k×k as C enlarged pictures of uint8, grey at zero, without saturation."""
    count, channels, *size = filters.shape
    # Concatenated they are one picture, which has one scale.
    groups = [filters.transpose(1, 0, 2, 3).reshape(channels, -1, size[1])]
    if scale == "each":
        groups = list(filters)
    shown = np.concatenate([grey_centred(group, 100) for group in groups])
    return list(shown.reshape(count, *size, channels).repeat(ENLARGED, 1).repeat(ENLARGED, 2))


def _caption(images: int, scale: str, max_rms: float | None) -> str:
    """Describe what the page shows and how it was measured."""
    common = (
        "One scale for all filters, so that one that outweighs the others is seen to; "
        if scale == "common"
        else "Each filter has its own scale, so that their strengths cannot be compared; "
    )
    limit = (
        "The filters' root mean square was not limited."
        if max_rms is None
        else f"A convolutional filter whose root mean square exceeds {max_rms:g} after an update "
        "is scaled back to it (§3 of the paper)."
    )
    return (
        "Training error and loss are means over the batches of an epoch, as they came, with "
        "dropout if there is any; validation is on centre crops, without. "
        f"{common}grey is zero. {limit} A map is dead if it stayed at 0 on all of "
        f"{images} images; more images would find fewer."
    )
