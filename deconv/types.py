"""The values that travel through the library: what a forward pass recorded, what mining found."""

from __future__ import annotations

from dataclasses import dataclass

import torch

Box = tuple[int, int, int, int]
"""Half-open (top, left, bottom, right) in pixels."""


@dataclass(frozen=True)
class Record:
    """What `net.record` saw on the way up; plain tensors, nothing stays behind on the modules.

    images:      N×3×H×W, the preprocessed batch itself.
    activations: point name -> N×C×h×w (convolutional) or N×C (fully connected).
    switches:    pool name -> N×C×h×w int64; each entry is the flat position y·W+x, inside the
                 pool's input plane, of the value that won its window (§2.1 of the paper).
    shapes:      stage name -> shape of that stage's input without the batch axis.
    logits:      N×classes before the softmax; None when the pass was stopped below them.
    """

    images: torch.Tensor
    activations: dict[str, torch.Tensor]
    switches: dict[str, torch.Tensor]
    shapes: dict[str, tuple[int, ...]]
    logits: torch.Tensor | None


@dataclass(frozen=True)
class Peaks:
    """The k strongest units of each of C maps, at most one per image and map; all C×k, best first.

    value: activation; -inf where the data set had fewer than k images.
    image: int64 position in the data set; -1 where missing.
    y, x:  int64 position in the map (0 for fully connected layers); -1 where missing.
    """

    value: torch.Tensor
    image: torch.Tensor
    y: torch.Tensor
    x: torch.Tensor
