"""The paper's numbers as data, to stand beside ours."""

from __future__ import annotations

CALTECH101_SCRATCH: dict[int, tuple[float, float]] = {15: (22.8, 1.5), 30: (46.5, 1.7)}
"""Table 4, network trained from scratch: images per class -> mean accuracy per class and its
spread over five random splits, in percent. The text does not say how long it trained; the numbers
are the same in an earlier version of the paper, whose network differs."""

GTX580_DAYS = 12.0
"""§3: 70 epochs of ImageNet on one GTX 580."""
